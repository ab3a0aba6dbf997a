"""The three qualities of a human value function, checked numerically, and its saturation.

The report names them in section 4. Here each is a check on a grid of gains (`sampled_value`), and
the answer applies only to that range:

1. **A reference point.** The curve changes at a gain of 0: its slope jumps there, or it bends one
   way below and another way above. ``partly`` if nothing changes at 0, but the slope depends on the
   distance from 0, so that moving the reference point would change the gradient. ``no`` for a
   straight line, whose gradient does not depend on the reference point.
2. **Diminishing sensitivity.** Concave in gains and convex in losses, and not straight on either
   side; ``partly`` if one of the two holds.
3. **Loss aversion.** Steeper at a loss than at a gain of the same size: ``yes`` at every distance,
   ``partly`` at some.

References:
    Human-Aware Loss Functions (2024), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from halo_report.values.sampled import STEPS, SampledValue, evaluate

Holds = Literal["yes", "partly", "no", "unknown"]

NEAR = 4
"""Number of cells on each side that count as "at the reference point": 1 % of the range."""
REFINED = 8
"""Refinement for kinks: a jump of the slope that stays with cells this many times smaller."""
EQUAL = 1e-6
"""Relative difference below which slopes are equal."""
SATURATED = 0.1
"""Share of the slope at the reference point below which a slope counts as saturated."""
SHOWN = (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)
"""Positions at which the gradient's size is shown, as shares of the range."""


@dataclass(frozen=True)
class Quality:
    """The answer to one check.

    Attributes:
        holds: The answer; ``unknown`` if too few values are finite.
        why: The reason, as a sentence without a full stop.
    """

    holds: Holds
    why: str


@dataclass(frozen=True)
class Qualities:
    """The qualities of a value function.

    Attributes:
        reference_point: Quality 1 at the top of this file.
        diminishing_sensitivity: Quality 2 at the top of this file.
        loss_aversion: Quality 3 at the top of this file.
        gradient: Size of the slope by gain; None if it is not finite.
        saturates: For ``gains`` and ``losses``, the distance beyond which the slope is below a
            tenth of the slope at the reference point; None if that is outside the range.
        notes: Further notes for the reader.
    """

    reference_point: Quality
    diminishing_sensitivity: Quality
    loss_aversion: Quality
    gradient: dict[float, float | None]
    saturates: dict[str, float | None]
    notes: tuple[str, ...]


def check_qualities(value: SampledValue, name: str) -> Qualities:
    """Returns the qualities of a human value function that a function has.

    Args:
        value: The function on its grid.
        name: Name of the loss, for messages.
    """
    return Qualities(
        reference_point=_reference_point(value, name),
        diminishing_sensitivity=_diminishing_sensitivity(value),
        loss_aversion=_loss_aversion(value),
        gradient={share * value.span: _slope_at(value, share) for share in SHOWN},
        saturates={"gains": _saturates(value, 1), "losses": _saturates(value, -1)},
        notes=tuple(_notes(value, name)),
    )


def _reference_point(value: SampledValue, name: str) -> Quality:
    near = [*value.loss_side(NEAR), *value.gain_side(NEAR)]
    if not all(math.isfinite(v) for v in near):
        return Quality("unknown", "the value is not finite next to a gain of 0")
    below, above = value.shape(value.loss_side(NEAR)), value.shape(value.gain_side(NEAR))
    if _slope_jumps(value, name):
        return Quality("yes", "the slope jumps at a gain of 0")
    if below != above:
        return Quality("yes", f"the curve is {below} just below a gain of 0 and {above} above")
    if value.shape(value.values) == "linear":
        return Quality("no", "a straight line: where the reference point lies changes no gradient")
    if value.kinks:
        places = ", ".join(f"{gain:.3g}" for gain in value.kinks[:3])
        return Quality("partly", f"the slope changes at a gain of {places}, not at 0")
    return Quality("partly", "the slope depends on the distance from it, yet nothing changes at 0")


def _slope_jumps(value: SampledValue, name: str) -> bool:
    # With smaller cells the bend of a curve shrinks in proportion; the jump at a kink does not.
    coarse = _jump(value, value.step, name)
    fine = _jump(value, value.step / REFINED, name)
    return fine > EQUAL * value.steepest and fine > coarse / 2


def _jump(value: SampledValue, step: float, name: str) -> float:
    below, middle, above = (evaluate(value.function, gain, name) for gain in (-step, 0.0, step))
    return abs(above - 2 * middle + below) / step


def _diminishing_sensitivity(value: SampledValue) -> Quality:
    if value.not_finite:
        return Quality("unknown", "the value is not finite everywhere")
    in_gains, in_losses = value.shape(value.gain_side()), value.shape(value.loss_side())
    holds = [in_gains == "concave", in_losses == "convex"]
    straight = " (straight between kinks)" if _is_piecewise_linear(value) else ""
    why = f"{in_gains} in gains, {in_losses} in losses{straight}"
    return Quality("yes" if all(holds) else "partly" if any(holds) else "no", why)


def _is_piecewise_linear(value: SampledValue) -> bool:
    """Returns whether it bends at only a few grid points: two around a kink, and at 0."""
    bends = [abs(b - a) * value.step > value.tolerance for a, b in pairwise(value.slopes)]
    return 0 < sum(bends) <= 2 * (len(value.kinks) + 1)


def _loss_aversion(value: SampledValue) -> Quality:
    losses = [abs(slope) for slope in reversed(value.slopes[:STEPS])]
    gains = [abs(slope) for slope in value.slopes[STEPS:]]
    # If both sides are flat, only rounding would decide which is steeper.
    flat = EQUAL * value.steepest
    pairs = [
        (loss, gain)
        for loss, gain in zip(losses, gains, strict=True)
        if math.isfinite(loss) and math.isfinite(gain) and max(loss, gain) > flat
    ]
    if not pairs and value.not_finite:
        return Quality("unknown", "too few values are finite to compare slopes")
    if not pairs:
        return Quality("no", "flat on both sides")
    steeper = sum(loss > gain * (1 + EQUAL) + flat * EQUAL for loss, gain in pairs)
    milder = sum(gain > loss * (1 + EQUAL) + flat * EQUAL for loss, gain in pairs)
    if steeper == len(pairs):
        return Quality("yes", f"a loss weighs {_times(pairs)} a gain of the same size")
    if steeper == 0 and milder == 0:
        return Quality("no", "gains and losses of the same size weigh the same")
    if steeper == 0:
        return Quality("no", "nowhere steeper in losses, and steeper in gains at some distances")
    share = f"steeper in losses at {steeper / len(pairs):.0%} of the distances"
    rest = "steeper in gains at others" if milder else "the same at the others"
    return Quality("partly", f"{share}, {rest}")


def _times(pairs: list[tuple[float, float]]) -> str:
    ratios = [loss / gain if gain > 0 else math.inf for loss, gain in pairs]
    low, high = min(ratios), max(ratios)
    if high - low < 0.01 * low:
        return f"{low:.3g} times as much as"
    if not math.isfinite(high):
        return "more than"
    return f"{low:.3g} to {high:.{0 if high >= 100 else 1}f} times as much as"


def _slope_at(value: SampledValue, share: float) -> float | None:
    """Returns the size of the slope at a gain, as the mean of the two cells around it."""
    place = STEPS + round(share * STEPS)
    around = value.slopes[max(0, place - 1) : place + 1]
    size = abs(sum(around)) / len(around)
    return size if math.isfinite(size) else None


def _saturates(value: SampledValue, side: int) -> float | None:
    at_point = _slope_at(value, 0.0)
    if not at_point:
        return None
    for cell in range(STEPS):
        slope = value.slopes[STEPS + cell if side > 0 else STEPS - 1 - cell]
        if abs(slope) < SATURATED * at_point:
            return (cell + 0.5) * value.step
    return None


def _notes(value: SampledValue, name: str) -> list[str]:
    notes = []
    if value.not_finite:
        share = f"{len(value.not_finite)} of {len(value.values)} gains"
        notes.append(f"not finite at {share}, the first at {value.not_finite[0]:.3g}")
    if value.steepest == 0:
        notes.append("constant: it gives every completion the same value")
    least = EQUAL * value.steepest
    falling = [i for i, slope in enumerate(value.slopes) if slope < -least]
    if falling:
        where = (
            f"between gains of {value.gains[falling[0]]:.3g} and {value.gains[falling[-1] + 1]:.3g}"
        )
        notes.append(f"falls as the gain rises, {where}")
    if _is_unbounded(value, name):
        notes.append(
            "the slope grows without bound towards 0; the table shows the one within "
            f"{value.step:.3g} of 0"
        )
    return notes


def _is_unbounded(value: SampledValue, name: str) -> bool:
    coarse, fine = (
        abs(evaluate(value.function, step, name) - evaluate(value.function, -step, name)) / step
        for step in (value.step, value.step / REFINED**5)
    )
    return fine > 1.5 * coarse > 0
