"""Checks that a loss corrects a policy that is wrong, and that a reference point lowers gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from halo_core.loss import Loss
from halo_core.loss_wrapper import LossWrapper
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import (
    TOKENS,
    Case,
    batch_of,
    call,
    inputs_of,
    mixed_case,
    ordinary_cases,
    settled_loss,
)
from halo_core.testing.losses.loss_inputs import LARGEST_SLOPE, is_liked

if TYPE_CHECKING:
    from torch import Tensor

GAPS = (1.0, 3.0)
"""Nats by which the policy makes what is desirable less likely than its reference does."""

FAR = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Such nats at which a gradient may have become small, but must not have stopped at once."""

SMALL = 0.1
"""Part of the largest gradient below which one may continue to 0, as that of a sigmoid does."""

STEP = 1e-4
"""Change of a reference point, in nats."""

SAME = 0.05
"""Largest relative difference of two derivatives that count as the same."""


def check_corrects(loss: Loss) -> None:
    """Checks that each example has a gradient where the policy is wrong about it.

    There, what is desirable is less likely than under the reference, by a few nats, and what is
    undesirable is more likely. By more nats, a gradient may vanish, but not at once. If the loss
    has no reference, tokens of what is desirable are unlikely, and the others likely. A loss that
    limits its log-ratios may have no gradient there, so it never corrects these examples. It also
    checks that a reference point has the opposite effect of a log-ratio, because a gain is the
    difference of the two.

    Raises:
        AssertionError: When an example has no gradient at one of `GAPS`, when one that is large
            stops at once at one of `FAR`, or the reference point has
            the same effect as a log-ratio. If no undesirable completion has a gradient, and each
            desirable one has, this is advice. So is the opposite for binary feedback, if no
            desirable completion has one where the policy is right about it either, as in
            unlearning.
    """
    loss = settled_loss(loss)
    if "policy_logps" not in loss.needed() or isinstance(loss, LossWrapper):
        return  # A loss around another one may limit its log-ratios, as humanline does.
    compares = "reference_logps" in loss.needed()
    for gap in GAPS:
        mixed = mixed_case(loss)
        _check_gap(loss, _wrong_case(mixed, gap) if compares else _unlikely_case(mixed, gap))
    if compares:
        _check_far(loss)
    if "reference_point" in loss.needed():
        _check_point(loss)


def _wrong_case(case: Case, gap: float) -> Case:
    """Returns the case with a policy that is wrong about each completion by some nats."""
    changes = {True: -gap, False: gap, None: 0.0}
    policy, reference = [], []
    for row, tokens in enumerate(case.reference):
        change = changes[is_liked(case, row, scored=False)] / len(tokens)
        policy.append([each + min(change, 0.0) for each in tokens])
        reference.append([each - max(change, 0.0) for each in tokens])
    name = f"a policy that is wrong about each completion by {gap:g} nats"
    return replace(case, name=name, policy=policy, reference=reference, sampler=reference)


def _unlikely_case(case: Case, gap: float) -> Case:
    """Returns the case with unlikely desirable completions, and likely ones that are not."""
    policy = [
        [-gap - 2.0 if liked else -0.05] * len(tokens)
        for liked, tokens in zip(case.desirable, case.policy, strict=True)
    ]
    name = f"desirable tokens of {-gap - 2.0:g} nats and others of -0.05"
    return replace(case, name=name, policy=policy, sampler=policy)


def _check_gap(loss: Loss, case: Case) -> None:
    if loss.resolved_feedback() == "scored":
        return  # Of scored completions, nobody knows which one must change.
    learned = _learned(loss, case)
    silent = {row for row, has in enumerate(learned) if not has and not case.sampled[row]}
    if not silent or not any(any(_learned(loss, each)) for each in ordinary_cases(loss)):
        return  # Another rule reports a loss without any gradient.
    sides = {
        side: {row for row, liked in enumerate(case.desirable) if liked == side} - _samples(case)
        for side in (True, False)
    }
    unlearns = loss.resolved_feedback() == "binary" and silent == sides[True]
    if silent == sides[False] or (unlearns and _never_learns(loss)):
        kinds = ("desirable", "undesirable")
        kind, other = kinds if silent == sides[True] else kinds[::-1]
        advise(
            loss,
            f"on {case.name}: no {kind} completion has a gradient, so the loss learns from the "
            f"{other} ones only. Is a weight 0?",
        )
        return
    row = min(silent)
    kind = "a desirable" if case.desirable[row] else "an undesirable"
    expect(
        False,
        loss,
        f"on {case.name}: {kind} completion (row {row}) has no gradient, so the loss never "
        "corrects it. Does a limit (clamp) stop the gradient, or is an example left out?",
    )


def _check_far(loss: Loss) -> None:
    """Checks that no gradient stops at once where the policy is wrong by many nats."""
    if loss.resolved_feedback() == "scored":
        return
    mixed = mixed_case(loss)
    sizes = [_slopes(loss, _wrong_case(mixed, gap)) for gap in FAR]
    for row in range(len(mixed.policy)):
        largest = max(each[row] for each in sizes)
        course = [each[row] for each in sizes]
        for gap, before, after in zip(FAR[1:], course[:-1], course[1:], strict=True):
            expect(
                after > 0 or before <= SMALL * largest,
                loss,
                f"on a policy that is wrong about each completion by {gap:g} nats: completion "
                f"{row} has no gradient, and it is large where the policy is less wrong, so the "
                "loss never corrects it. Does a limit (clamp) stop the gradient?",
            )


def _samples(case: Case) -> set[int]:
    return {row for row, is_sample in enumerate(case.sampled) if is_sample}


def _never_learns(loss: Loss) -> bool:
    """Returns whether no desirable completion has a gradient in any ordinary case."""
    return not any(
        has and case.desirable[row]
        for case in ordinary_cases(loss)
        for row, has in enumerate(_learned(loss, case))
        if row not in _samples(case)
    )


def _learned(loss: Loss, case: Case) -> Sequence[bool]:
    """Returns whether each completion has a gradient."""
    return [size > 0 for size in _slopes(loss, case)]


def _slopes(loss: Loss, case: Case) -> Sequence[float]:
    """Returns the size of the largest derivative by a token of each completion."""
    import torch

    batch = batch_of(loss, case)
    inputs = inputs_of(loss, batch)
    output = call(loss, batch, case)
    (slopes,) = torch.autograd.grad(
        (output.losses * output.counts).sum(), [inputs[TOKENS]], allow_unused=True
    )
    if slopes is None:
        return [0.0] * len(case.policy)
    rows = range(len(case.policy))
    return [float(slopes[batch.sequence_index == row].abs().max()) for row in rows]


def _check_point(loss: Loss) -> None:
    """Checks the sign of the derivative of each loss by the reference point."""
    import torch

    case = mixed_case(loss)
    batch = batch_of(loss, case)
    point = batch.reference_point
    if loss.resolved_feedback() != "binary" or point is None or point.ndim != 0:
        return
    inputs = inputs_of(loss, batch)
    losses = call(loss, batch, case).losses
    by_point = (_at(loss, case, STEP) - _at(loss, case, -STEP)) / (2 * STEP)
    for example in range(case.size):
        (slopes,) = torch.autograd.grad(
            losses[example], [inputs[TOKENS]], allow_unused=True, retain_graph=True
        )
        by_ratio = 0.0 if slopes is None else float(slopes[slopes.abs().argmax()])
        # In a sum of several losses, only some terms may have the reference point. Their effect
        # says nothing about a sign, and is not as large as that of the log-ratio.
        difference = abs(float(by_point[example]) - by_ratio)
        same = abs(by_ratio) > LARGEST_SLOPE and difference < SAME * abs(by_ratio)
        verb = "rises" if by_ratio > 0 else "falls"
        expect(
            not same,
            loss,
            f"on {case.name}: the loss of completion {example} {verb} with its log-ratio and with "
            "the reference point; expected opposite effects, because a gain is the log-ratio minus "
            "the reference point. Is a sign wrong?",
        )


def _at(loss: Loss, case: Case, change: float) -> Tensor:
    batch = batch_of(loss, case)
    point = batch.reference_point
    moved = None if point is None else point + change
    return call(loss, replace(batch, reference_point=moved), case).losses.detach()


__all__ = ["check_corrects"]
