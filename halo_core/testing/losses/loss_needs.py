"""Checks that a loss uses the inputs that are computed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.testing.advice import advise
from halo_core.testing.batches import Tokens
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import Case, batch_of, call, ordinary_cases, settled_loss
from halo_core.testing.options.option_effects import legal_variants

if TYPE_CHECKING:
    from torch import Tensor

MOVED = 0.37
"""Change of an input; large enough that a bounded loss changes too."""


def check_needs(loss: Loss) -> None:
    """Checks that each input that `needed` names changes something.

    Other values of an input must change a loss, a weight, a reward or a metric on one of the usual
    batches. If they do only with other options, this is advice: `needed` can leave the input out
    with these options.

    Raises:
        AssertionError: When an input changes nothing, with any options that were tried.
    """
    for need in idle_needs(loss):
        others = [each for each in legal_variants(loss) if need in each.needed()]
        if any(need not in idle_needs(other) for other in others):
            advise(
                loss,
                f"no value of {need} changes an output with these options, and with others one "
                "does; let needed() leave it out, so that it is not computed for nothing",
            )
            continue
        expect(
            False,
            loss,
            f"needs {need!r}, and no value of it changes a loss, a weight, a reward or a metric; "
            "leave it out, because it is computed for nothing (for reference_logps, by a second "
            "model)",
        )


def idle_needs(loss: Loss) -> list[str]:
    """Returns the inputs that `needed` names and that change no output. An error is a change."""
    loss = settled_loss(loss)
    cases = ordinary_cases(loss)
    return [need for need in loss.needed() if not any(_matters(loss, c, need) for c in cases)]


def _matters(loss: Loss, case: Case, need: str) -> bool:
    try:
        usual = call(loss, batch_of(loss, case), case)
        moved = call(loss, _moved(loss, case, need), case)
    except AssertionError:
        return True  # Another rule reports it.
    return not _same(usual, moved)


def _moved(loss: Loss, case: Case, need: str) -> LossBatch:
    """Returns the batch of a case with other values of one input."""

    def shifted(values: Tokens, among: Sequence[bool]) -> Tokens:
        """Returns other values in some rows, which differ between the rows."""
        return [
            [each - MOVED * (1 + row) if here else each for each in tokens]
            for row, (tokens, here) in enumerate(zip(values, among, strict=True))
        ]

    every = [True for _ in case.policy]
    if need == "policy_logps":
        case = replace(case, policy=shifted(case.policy, every))
    elif need == "reference_logps":
        case = replace(case, reference=shifted(case.reference, every))
    elif need == "sampler_logps":
        case = replace(case, sampler=shifted(case.sampler, every))
    elif need == "reference_samples":
        case = replace(case, policy=shifted(case.policy, case.sampled))
    elif need == "scores":
        scores = [MOVED * row * row - each for row, each in enumerate(case.scores)]
        case = replace(case, scores=scores)
    batch = batch_of(loss, case)
    if need == "statistics":
        sums = {name: 1.5 * each + MOVED for name, each in batch.statistics.items()}
        batch = replace(batch, statistics=sums)
    elif need == "reference_point" and batch.reference_point is not None:
        batch = replace(batch, reference_point=batch.reference_point + MOVED)
    return batch


def _same(one: LossOutput, other: LossOutput) -> bool:
    import torch

    def equal(mine: Tensor | None, yours: Tensor | None) -> bool:
        if mine is None or yours is None:
            return mine is yours
        return mine.shape == yours.shape and torch.equal(mine, yours)

    return (
        equal(one.losses * one.counts, other.losses * other.counts)
        and equal(one.weights, other.weights)
        and equal(one.rewards, other.rewards)
        and repr(one.metrics) == repr(other.metrics)
    )


__all__ = ["check_needs"]
