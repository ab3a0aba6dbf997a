"""A value function on an even grid of gains around the reference point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from halo_core.errors import PluginError, error_text
from halo_core.stop_flag import from_outside

STEPS = 400
"""Number of grid cells on each side of the reference point."""
ROUNDING = 1e-9
"""Share of the values' range below which bends count as rounding."""
ABRUPT = 0.2
"""Change of the slope within one cell that makes a kink, as a share of the steepest slope."""

Value = Callable[[float], float]
"""Function from gain to value."""
Shape = Literal["concave", "convex", "linear", "neither concave nor convex"]


@dataclass(frozen=True)
class SampledValue:
    """A value function at ``2 * STEPS + 1`` gains, from ``-span`` to ``span``.

    Attributes:
        function: The function itself.
        span: The largest gain, above 0.
        values: The values from the worst loss to the best gain; NaN if not finite.
    """

    function: Value
    span: float
    values: tuple[float, ...]

    @property
    def step(self) -> float:
        """The width of a cell."""
        return self.span / STEPS

    @cached_property
    def gains(self) -> tuple[float, ...]:
        """The gain of each value."""
        return tuple(self.span * (i - STEPS) / STEPS for i in range(2 * STEPS + 1))

    @cached_property
    def slopes(self) -> tuple[float, ...]:
        """The mean slope within each cell; NaN next to a value that is not finite."""
        pairs = zip(self.values, self.values[1:], strict=False)
        return tuple((right - left) / self.step for left, right in pairs)

    @cached_property
    def steepest(self) -> float:
        """The largest size of a slope; 0 without finite slopes."""
        return max((abs(slope) for slope in self.slopes if math.isfinite(slope)), default=0.0)

    @cached_property
    def tolerance(self) -> float:
        """Size up to which second differences count as rounding."""
        finite = [value for value in self.values if math.isfinite(value)]
        return ROUNDING * (max(finite) - min(finite)) if finite else 0.0

    @property
    def not_finite(self) -> list[float]:
        """The gains at which the value is not finite."""
        return [g for g, v in zip(self.gains, self.values, strict=True) if not math.isfinite(v)]

    def gain_side(self, cells: int = STEPS) -> Sequence[float]:
        """Returns the values from the reference point upwards."""
        return self.values[STEPS : STEPS + cells + 1]

    def loss_side(self, cells: int = STEPS) -> Sequence[float]:
        """Returns the values up to the reference point."""
        return self.values[STEPS - cells : STEPS + 1]

    def shape(self, values: Sequence[float]) -> Shape:
        """Returns the shape of neighbouring grid values. Weakly concave counts as concave."""
        bends = second_differences(values)
        down = any(bend < -self.tolerance for bend in bends)
        up = any(bend > self.tolerance for bend in bends)
        if down and up:
            return "neither concave nor convex"
        return "concave" if down else "convex" if up else "linear"

    @cached_property
    def kinks(self) -> list[float]:
        """The gains other than 0 where the slope changes abruptly. Neighbours count once."""
        bends = second_differences(self.values)
        least = ABRUPT * self.steepest * self.step
        places: list[int] = []
        for i, bend in enumerate(bends, start=1):
            if abs(bend) > least and abs(i - STEPS) > 2 and (not places or i - places[-1] > 2):
                places.append(i)
        return [self.gains[i] for i in places]


def second_differences(values: Sequence[float]) -> list[float]:
    """Returns ``left - 2 middle + right`` for every three neighbours.

    >>> second_differences([0.0, 1.0, 4.0, 9.0])
    [2.0, 2.0]
    """
    return [a - 2 * b + c for a, b, c in zip(values, values[1:], values[2:], strict=False)]


def sample_value(function: Value, span: float, name: str) -> SampledValue:
    """Returns a value function on the grid.

    An overflow or a division by zero counts as a value that is not finite.

    Args:
        function: Function from gain to value.
        span: The largest gain, above 0.
        name: Name of the loss, for messages.

    Raises:
        PluginError: When it raises another error, or returns something that is not a number.
    """
    gains = (span * (i - STEPS) / STEPS for i in range(2 * STEPS + 1))
    return SampledValue(function, span, tuple(evaluate(function, g, name) for g in gains))


def evaluate(function: Value, gain: float, name: str) -> float:
    """Returns one value, or NaN if it is not finite.

    Args:
        function: The value function.
        gain: The gain, in reward units.
        name: Name of the loss, for errors.

    Raises:
        PluginError: When the function raises, or returns anything but a number.
    """
    try:
        returned: object = function(gain)
    except ArithmeticError:
        return math.nan
    except BaseException as error:
        if from_outside(error):
            raise
        raise PluginError(
            f"value({gain:g}) raised {error_text(error)}; expected a number for every gain",
            location=f"the loss {name}",
        ) from error
    if isinstance(returned, bool) or not isinstance(returned, int | float):
        raise PluginError(
            f"value({gain:g}) returned {returned!r}; expected a float", location=f"the loss {name}"
        )
    return float(returned) if math.isfinite(returned) else math.nan
