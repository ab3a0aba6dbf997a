"""Checks that a loss applies each option once, and divides each completion by its own length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.option_fields import values_by_alias
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import Case, batch_of, call, mixed_case, settled_loss
from halo_core.testing.option_values import with_option

if TYPE_CHECKING:
    from torch import Tensor

FACTORS = (2.0, 0.5, 1.25)
"""Factors of an option. The first one that its bounds allow is used."""

SAME = 1e-9
"""Relative and absolute tolerance in float64 for losses that are equal by a formula."""

SUMS = ((-1.1, -0.7), (1.1, 0.7))
"""Sums of the tokens of one side of a pair, in nats. A hinge has no slope at one of both signs."""

ACROSS = ("sampler_logps", "statistics", "scores")
"""Inputs besides log-ratios: with them, the losses of scaled log-ratios say nothing."""


def check_applied_once(loss: Loss) -> None:
    """Checks that no option scales a loss twice, and no side is divided by the other one's length.

    The first rule looks for two forms. In one, an option such as beta scales the rewards, and the
    losses are the same with ``c * beta`` and log-ratios divided by ``c**2``: so they depend on beta
    times beta. In the other, an option scales a loss and also its weight.

    In the second rule, one side of a pair has log-probabilities of 0. A loss may depend on its
    length, but not in the way in which the other side is divided by it.

    Raises:
        AssertionError: When an option is applied twice, or a length to the wrong side.
    """
    settled = settled_loss(loss)
    for alias, factor, other in _scaled_options(loss):
        _check_weights(loss, alias, factor, settled, other)
        if settled.heads() or any(need in settled.needed() for need in ACROSS):
            continue
        if "policy_logps" in settled.needed():
            _check_rewards(loss, alias, factor, settled, other)
    _check_lengths(settled)


def _scaled_options(loss: Loss) -> Iterator[tuple[str, float, Loss]]:
    """Yields options that are numbers, a factor, and the settled loss with the multiplied value."""
    for alias, value in values_by_alias(loss).items():
        if not isinstance(value, float) or value <= 0:
            continue
        for factor in FACTORS:
            try:
                other = with_option(loss, alias, factor * value)
            except Exception:
                continue  # The bounds, or a validator, do not allow it.
            assert isinstance(other, Loss)
            yield alias, factor, settled_loss(other)
            break


def _check_weights(loss: Loss, alias: str, factor: float, usual: Loss, other: Loss) -> None:
    case = mixed_case(usual)
    one, two = _output(usual, case, 1.0), _output(other, case, 1.0)
    if one is None or two is None or one.weights is None or two.weights is None:
        return
    for example in range(case.size):
        numbers = [
            (float(before[example]), float(after[example]))
            for before, after in ((one.losses, two.losses), (one.weights, two.weights))
        ]
        twice = all(before and _close(after, factor * before) for before, after in numbers)
        expect(
            not twice,
            loss,
            f"with {factor:g} times the option {alias!r}, the loss of an example and its weight "
            f"are both {factor:g} times as large, so the option counts twice; apply it to one of "
            "them",
        )


def _check_rewards(loss: Loss, alias: str, factor: float, usual: Loss, other: Loss) -> None:
    case = mixed_case(usual)
    one, scaled = _output(usual, case, 1.0), _output(other, case, 1.0)
    once = _output(other, case, factor)
    # The option may also scale the reference point once, and the log-ratios twice.
    twice = [_output(other, case, factor**2, point) for point in (factor, factor**2)]
    if one is None or scaled is None or once is None:
        return
    if one.rewards is None or scaled.rewards is None or not bool(one.rewards.any()):
        return
    if not _same(scaled.rewards, factor * one.rewards):
        return
    losses = one.losses * one.counts
    expect(
        _same(once.losses * once.counts, losses)
        or not any(each and _same(each.losses * each.counts, losses) for each in twice),
        loss,
        f"the option {alias!r} scales the rewards once and the losses twice: the losses are the "
        f"same with {factor:g} times its value and log-ratios divided by {factor**2:g}; apply it "
        "once",
    )


def _output(
    loss: Loss, case: Case, divisor: float, of_point: float | None = None
) -> LossOutput | None:
    """Returns the output for divided log-ratios and a divided point; None if the loss raises."""
    compares = "reference_logps" in loss.needed()
    policy = [
        [there + (each - there) / divisor for each, there in zip(mine, theirs, strict=True)]
        if compares
        else [each / divisor for each in mine]
        for mine, theirs in zip(case.policy, case.reference, strict=True)
    ]
    moved = replace(case, policy=policy)

    def with_point(batch: LossBatch) -> LossBatch:
        if batch.reference_point is None:
            return batch
        return replace(batch, reference_point=batch.reference_point / (of_point or divisor))

    return _called(loss, moved, with_point)


def _called(loss: Loss, case: Case, change: Callable[[LossBatch], LossBatch]) -> LossOutput | None:
    try:
        return call(loss, change(batch_of(loss, case)), case)
    except AssertionError:
        return None  # Other rules report it.


def _check_lengths(loss: Loss) -> None:
    if loss.resolved_feedback() != "paired" or loss.heads() or mixed_case(loss).sizes[0] != 2:
        return
    if "policy_logps" not in loss.needed() or any(need in loss.needed() for need in ACROSS):
        return
    for side, name in enumerate(("chosen", "rejected")):
        swapped = any(
            all(
                _same_loss(loss, (side, total, 2), (side, 2 * total, 4))
                and not _same_loss(loss, (side, total, 2), (side, 2 * total, 2))
                for total in sums
            )
            for sums in SUMS
        )
        other = ("rejected", "chosen")[side]
        expect(
            not swapped,
            loss,
            f"the loss divides the {name} completion by the length of the {other} one: it is the "
            f"same if the {name} log-ratio and the {other} length are doubled; divide each "
            "completion by its own length",
        )


def _same_loss(loss: Loss, one: tuple[int, float, int], two: tuple[int, float, int]) -> bool:
    made = [_called(loss, _pair(loss, *each), lambda batch: batch) for each in (one, two)]
    first, second = made
    return first is not None and second is not None and _same(first.losses, second.losses)


def _pair(loss: Loss, side: int, total: float, length: int) -> Case:
    """Returns a pair with a side of this sum, and the other one of this length and sum 0."""
    told, zero = [total / 3] * 3, [0.0] * length
    policy = [told, zero] if side == 0 else [zero, told]
    reference = [[0.0] * len(tokens) for tokens in policy]
    case = mixed_case(loss).take([0], "a pair")
    return replace(case, policy=policy, reference=reference, sampler=reference, outputs=reference)


def _same(one: Tensor, other: Tensor) -> bool:
    import torch

    return one.shape == other.shape and torch.allclose(one, other, rtol=SAME, atol=SAME)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * max(abs(one), abs(other))


__all__ = ["check_applied_once"]
