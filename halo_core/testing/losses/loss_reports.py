"""Checks a loss beyond its gradient: its metrics and rewards, long completions, speed, options."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from halo_core.guarded.loss_calls import is_tensor
from halo_core.loss import Loss, LossOutput
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import (
    TOKENS,
    Case,
    batch_of,
    call,
    extreme_cases,
    inputs_of,
    mixed_case,
    ordinary_cases,
    settled_loss,
)
from halo_core.testing.losses.loss_margins import check_margin, check_ties
from halo_core.testing.losses.metric_pairs import metrics_of
from halo_core.testing.options.option_effects import advise_unused, legal_variants
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.options.option_texts import check_texts
from halo_core.testing.processes.busy_machine import own_time

if TYPE_CHECKING:
    from torch import Tensor

SAME = 1e-9
"""Relative and absolute tolerance in float64 for sums in another order."""

LONG = 4_500
"""Number of tokens of a long completion, which is more than usual limits such as 4,096."""

FADED = 1e-30
"""Part of the largest gradient below which a token may have none: weights can fade so far."""

SLOW_S = 0.1
"""Seconds of a call on four short examples above which a loss is too slow."""

SHARE = re.compile(r"accura|fraction|(^|[/_-])share([/_-]|$)", re.IGNORECASE)
"""A part of the name of a metric that is a share of something."""

CALLS = 5
"""Number of calls of which the fastest counts, because a machine may be busy."""


def check_speed(loss: Loss) -> None:
    """Checks that a call on four short examples takes less than `SLOW_S`.

    Raises:
        AssertionError: When it does not.
    """
    loss = settled_loss(loss)
    case = mixed_case(loss)
    batch = batch_of(loss, case)
    inputs_of(loss, batch)
    took = []
    for _ in range(CALLS):
        begun = own_time()
        call(loss, batch, case)
        took.append(own_time() - begun)
    expect(
        min(took) <= SLOW_S,
        loss,
        f"a call on four short examples takes {min(took):.2g} s; expected less than {SLOW_S:g} s, "
        "because each step of a training makes several calls",
    )


def check_reported(loss: Loss) -> None:
    """Checks that the rewards and metrics of a micro-batch are those of its parts.

    A metric is a sum and a count, which halo adds over all micro-batches before it divides. So the
    sums and the counts of the examples alone must add up to those of the whole.

    Raises:
        AssertionError: When a reward depends on the rest of the micro-batch, or a metric does not
            add up, has another name, or is a share that is above 1 or cannot be 1, or an accuracy
            that is 1 where no side of a pair is ahead.
    """
    loss = settled_loss(loss)
    case = mixed_case(loss)
    whole = call(loss, batch_of(loss, case), case)
    sums: dict[str, list[float]] = {}
    for example in range(case.size):
        alone_case = case.take([example], f"example {example} alone")
        alone = call(loss, batch_of(loss, alone_case, whole=case), alone_case)
        _check_rewards_alone(loss, case, example, alone, whole)
        for name, pair in metrics_of(loss, alone).items():
            expect(
                name in whole.metrics,
                loss,
                f"example {example} alone has the metric {name!r}, and the whole micro-batch has "
                f"only {', '.join(whole.metrics) or 'none'}; expected the same names, because "
                "numbers are added by name",
            )
            added = sums.setdefault(name, [0.0, 0.0])
            added[:] = [total + _number(each) for total, each in zip(added, pair, strict=True)]
    for name, added in sums.items():
        expected = [_number(each) for each in metrics_of(loss, whole)[name]]
        same = all(
            math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
            for a, b in zip(added, expected, strict=True)
        )
        expect(
            same,
            loss,
            f"the metric {name!r} has the sum and count {expected} on four examples, and those of "
            f"each alone add up to {added}; expected the same, because micro-batches are cut as "
            "memory allows. Give the sum over examples, and their number",
        )
    _check_shares(loss)
    check_ties(loss)


def _check_shares(loss: Loss) -> None:
    """Checks metrics that are shares: by their names, or because each pair adds 0 or 1."""
    cases = [
        case.take([example], f"example {example} alone")
        for case in (*ordinary_cases(loss), *extreme_cases(loss))
        for example in range(case.size)
    ]
    told: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        output = call(loss, batch_of(loss, case), case)
        for name, (total, count) in metrics_of(loss, output).items():
            told.setdefault(name, []).append((_number(total), _number(count)))
    for name, pairs in told.items():
        largest = max((total / count for total, count in pairs if count), default=0.0)
        expect(
            largest <= 1 + SAME or not SHARE.search(name),
            loss,
            f"the metric {name!r} is {largest:g} for an example; expected a share from 0 to 1, "
            "as its name says, and not a percentage",
        )
        counts = {count for _, count in pairs}
        expect(
            {total for total, _ in pairs} != {0.0, 1.0} or len(counts) > 1 or max(counts) <= 1,
            loss,
            f"the metric {name!r} adds 0 or 1 for each example, and counts {max(counts):g}, so it "
            f"is never more than {1 / max(counts):g}; count examples, not completions",
        )


def _check_rewards_alone(
    loss: Loss, case: Case, example: int, alone: LossOutput, whole: LossOutput
) -> None:
    import torch

    if whole.rewards is None or alone.rewards is None:
        return
    expected = whole.rewards[case.rows([example])]
    expect(
        torch.allclose(alone.rewards, expected, rtol=SAME, atol=SAME),
        loss,
        f"example {example} alone, rewards are {alone.rewards.tolist()}; in a batch of four they "
        f"are {expected.tolist()}; expected the same, because micro-batches are cut as memory "
        "allows",
    )


def check_long_completions(loss: Loss) -> None:
    """Checks that no token of a long completion is left out of the gradient.

    All tokens of a completion have the same log-ratio. So a token without a gradient next to tokens
    with one is left out because of its position.

    Raises:
        AssertionError: When one is.
    """
    import torch

    loss = settled_loss(loss)
    if "policy_logps" not in loss.needed():
        return
    case = _long_case(mixed_case(loss))
    batch = batch_of(loss, case)
    inputs = inputs_of(loss, batch)
    output = call(loss, batch, case)
    (slopes,) = torch.autograd.grad(
        (output.losses * output.counts).sum(), [inputs[TOKENS]], allow_unused=True
    )
    if slopes is None:
        return
    for row in range(len(case.policy)):
        sizes = slopes[batch.sequence_index == row].abs()
        silent = (sizes == 0).nonzero().flatten().tolist()
        faint = (sizes > 0) & (sizes < FADED * sizes.max())
        expect(
            not bool(sizes.any()) or not silent or bool(faint.any()),
            loss,
            f"with completions of {LONG} tokens: token {silent[0] if silent else 0} of completion "
            f"{row} has no gradient, and others like it have one; expected all tokens to count. "
            "Is there a fixed width?",
        )


def _long_case(case: Case) -> Case:
    """Returns the case with long completions whose log-ratios are as usual."""

    def stretched(values: Any, other: Any = None) -> list[list[float]]:
        starts = [tokens[0] for tokens in values]
        if other is None:
            return [[start] * LONG for start in starts]
        return [
            [mine[0] + (yours[0] - mine[0]) / LONG] * LONG
            for yours, mine in zip(values, other, strict=True)
        ]

    policy = stretched(case.policy)
    return replace(
        case,
        name=f"completions of {LONG} tokens",
        policy=policy,
        reference=stretched(case.reference, case.policy),
        sampler=stretched(case.sampler, case.policy),
        outputs=stretched(case.outputs),
    )


def check_other_options(loss: Loss) -> None:
    """Checks that the losses are finite with other legal values of the options.

    It advises if an option changes nothing.

    Raises:
        AssertionError: When a call then raises, a loss is not finite, or a larger margin asks for
            less.
    """
    for variant in legal_variants(loss):
        with or_refused():
            _check_finite_losses(variant)
    check_texts(loss, outputs_of, "a call")
    check_margin(loss)
    advise_unused(loss, outputs_of, "an output that was tried")


def _check_finite_losses(variant: Loss) -> None:
    other = settled_loss(variant)
    for case in (mixed_case(other), *ordinary_cases(other)[2:3]):
        output = call(other, batch_of(other, case), case)
        losses, weights = output.losses, output.counts
        expect(
            bool((weights >= 0).all()),
            variant,
            f"on {case.name}: weights are {weights.tolist()}; expected at least 0 with all values "
            "of options that the bounds allow",
        )
        expect(
            bool(losses.isfinite().all()),
            variant,
            f"on {case.name}: losses are {losses.tolist()}; expected finite values with all "
            "values of options that the bounds allow",
        )


def outputs_of(loss: Loss) -> object:
    """Returns all that a loss says and computes on the batches of the kit."""
    said: list[object] = [
        loss.resolved_feedback(),
        loss.needed(),
        loss.heads(),
        loss.control_tokens(),
    ]
    said += [loss.resolved_reference_point(), loss.value(1.0), loss.value(-2.5)]
    settled = settled_loss(loss)
    outputs = []
    for case in (*ordinary_cases(settled), *extreme_cases(settled)):
        batch = batch_of(settled, case)
        outputs.append(_plain(settled, call(settled, batch, case)))
    return repr(said), outputs


def _plain(loss: Loss, output: LossOutput) -> object:
    def numbers(values: Tensor | None) -> object:
        return None if values is None else repr(values.tolist())

    return (
        numbers(output.losses * output.counts),  # A loss with the weight 0 has no effect.
        numbers(output.weights),
        numbers(output.rewards),
        sorted((name, *map(_number, pair)) for name, pair in metrics_of(loss, output).items()),
    )


def _number(value: Any) -> float:
    return float(value.item() if is_tensor(value) else value)
