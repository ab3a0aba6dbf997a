import bisect
import functools
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import Field, field_validator

from halo_core.reference_update import ReferenceUpdate
from halo_core.testing.advice import KitAdvice
from halo_core.testing.component import check_option_values, check_rules
from halo_core.testing.points.reference_updates import (
    UPDATE_CHECKS,
    check_caches,
    check_other_options,
    check_reference_update,
    check_shares,
    check_stateless,
)


def update(share: Callable[[int], Any]) -> ReferenceUpdate:
    class Made(ReferenceUpdate):
        def mix(self, step: int) -> Any:
            return share(step)

    return Made()


class CopyAtPowersOfTwo(ReferenceUpdate):
    """Copies the policy before the steps 2, 4, 8 and so on."""

    def mix(self, step: int) -> float:
        return float(step > 1 and step & (step - 1) == 0)


class Calls:
    """Counts calls over the life of the process."""

    count = 0


def by_calls(step: int) -> float:
    Calls.count += 1
    return 1 / Calls.count


def test_a_good_update_passes() -> None:
    check_reference_update(CopyAtPowersOfTwo())


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (lambda step: None, "mix(1) is None; expected a number from 0 to 1"),
        (lambda step: "all", "mix(1) is 'all'; expected a number from 0 to 1"),
        (lambda step: float("nan"), "mix(1) is nan; expected a number from 0 to 1"),
        (lambda step: float("inf"), "mix(1) is inf; expected a number from 0 to 1"),
        (lambda step: 1 - step / 10, "mix(11) is -0.10000000000000009; expected a number from 0"),
        (lambda step: step / 10_000, "mix(10007) is 1.0007; expected a number from 0 to 1"),
        (lambda step: 1 / (step - 7), "mix(1) is -0.16666666666666666"),
        (lambda step: {}[step], "mix(1) raised KeyError: 1"),
        (lambda step: random.random(), "draws from the global random state"),
        (by_calls, "when the steps are asked for in another order; a share depends on the step"),
    ],
)
def test_shares_that_break_a_rule_are_named(share: Callable[[int], Any], message: str) -> None:
    Calls.count = 0
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_shares(update(share))


class Within(ReferenceUpdate):
    """Changes the reference between two steps."""

    first: int = Field(default=1, ge=1, description="First step.")
    last: int = Field(default=9, ge=1, description="Last step.")

    def mix(self, step: int) -> float:
        return 0.5 if self.first <= step <= self.last else 0.0


def test_options_with_which_the_reference_never_changes_are_advice() -> None:
    with pytest.warns(KitAdvice, match=re.escape("mix() is 0 at the steps 1 to 20,000")):
        check_shares(Within(first=9, last=1))


def test_a_reference_that_never_changes_by_default_is_found() -> None:
    with pytest.raises(AssertionError, match=re.escape("mix() is 0 at the steps 1 to 20,000")):
        check_shares(update(lambda step: 0.0))


class Cached(Within):
    @functools.cache  # noqa: B019
    def mix(self, step: int) -> float:
        return 1 / step


def test_a_cache_without_a_limit_is_found() -> None:
    check_caches(Within())
    with pytest.raises(AssertionError, match="the cache of mix grows by 100 in 100 steps"):
        check_caches(Cached())


@pytest.mark.parametrize("first", [777, 2_345, 19_000])
def test_a_first_change_at_a_late_step_is_right(first: int) -> None:
    check_shares(update(lambda step: float(step == first)))


class CopyAt(ReferenceUpdate):
    """Copies the policy before some steps, which an option lists."""

    steps: tuple[int, ...] = Field(default=(50_000, 90_000), description="The steps.")

    def mix(self, step: int) -> float:
        return float(step in self.steps)


def test_late_steps_in_a_list_are_tried(recwarn: pytest.WarningsRecorder) -> None:
    check_rules(CopyAt(), UPDATE_CHECKS)
    assert not recwarn.list


class Text(ReferenceUpdate):
    """Reads its share from a text when it is called."""

    share: str = Field(default="0.5", description="The share.")

    def mix(self, step: int) -> float:
        return float(self.share) * (step % 2)


class CheckedText(Text):
    """Refuses a text that is not a number."""

    @field_validator("share")
    @classmethod
    def _number(cls, value: str) -> str:
        float(value)
        return value


class FileOfShares(Text):
    """Reads a file, which may be somewhere else."""

    def mix(self, step: int) -> float:
        return 0.5 if self.share == "0.5" else float(open(self.share).read())


class Remembers(ReferenceUpdate):
    """Keeps its shares in an option."""

    shares: dict[str, float] = Field(default={}, description="Shares by step.")

    def mix(self, step: int) -> float:
        return self.shares.setdefault(str(step), step % 2)


class Loops(ReferenceUpdate):
    """Goes through all earlier steps."""

    def mix(self, step: int) -> float:
        share = 1.0
        for _ in range(step):
            share *= 0.9
        return share


class Inverted(ReferenceUpdate):
    """Gives the share of the reference."""

    def mix(self, step: int) -> float:
        return 0.99 if step > 1 else 0.0


class Unbounded(ReferenceUpdate):
    """A share without an upper bound."""

    share: float = Field(default=0.5, ge=0, description="The share.")

    def mix(self, step: int) -> float:
        return self.share if step % 9 == 0 else 0.0


class Bisects(CopyAt):
    """Looks for a step in a list, which it does not sort."""

    def mix(self, step: int) -> float:
        place = bisect.bisect_right(self.steps, step)
        return float(place > 0 and self.steps[place - 1] == step)


class WrongError(CopyAt):
    """Refuses steps with an error that pydantic does not know."""

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(steps):
            raise TypeError("expected rising steps")
        return steps


@pytest.mark.parametrize("right", [CheckedText(), FileOfShares()])
def test_a_text_may_be_refused_or_name_a_file(right: ReferenceUpdate) -> None:
    check_other_options(right)


@pytest.mark.parametrize(
    ("check", "broken", "message"),
    [
        (check_other_options, Text(), "with share='another text', mix() raises ValueError"),
        (check_stateless, Remembers(), "mix() changes the options"),
        (check_shares, Loops(), "expected less than 2 ms at every step"),
        (check_shares, Inverted(), "mix() is above 0.9 at each of the steps 2 to 51 with the"),
        (check_other_options, Unbounded(), "Unbounded(share=5.0): mix(9) is 5.0"),
        (check_other_options, Bisects(), "in the opposite order it is not"),
        (
            check_option_values,
            WrongError(),
            "with steps=(90000, 50000), making it raised TypeError",
        ),
    ],
)
def test_an_update_that_breaks_a_rule_is_named(
    check: Callable[[ReferenceUpdate], None], broken: ReferenceUpdate, message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(broken)


def test_the_edges_are_shares() -> None:
    check_shares(update(lambda step: step % 2))


class Line(ReferenceUpdate):
    """Goes from the first share to the last one."""

    first: float = Field(default=0.2, ge=0, le=1, description="The first share.")
    last: float = Field(default=0.0, ge=0, le=1, description="The last share.")
    begin: int = Field(default=10, ge=0, le=1000, description="The last step with the first one.")
    end: int = Field(default=50, ge=0, le=1000, description="The first step with the last one.")

    def mix(self, step: int) -> float:
        done = min(1.0, max(0.0, (step - self.begin) / max(1, self.end - self.begin)))
        return self.last * done + self.first * (1 - done)


class Backwards(Line):
    def mix(self, step: int) -> float:
        return self.first + self.last - super().mix(step)


class Divides(Line):
    def mix(self, step: int) -> float:
        return super().mix(step) if self.end - self.begin else 1 / (self.end - self.begin)


class Pulses(ReferenceUpdate):
    """Mixes for some steps, and then waits."""

    pause: int = Field(default=30, ge=0, le=1000, description="Steps without a mix.")
    width: int = Field(default=2, ge=0, le=1000, description="Steps of a pulse.")

    def mix(self, step: int) -> float:
        place = step % (self.pause + self.width)
        return 0.1 / self.width if place >= self.pause else 0.0


def test_options_that_are_zero_together_are_found() -> None:
    with pytest.raises(AssertionError, match=r"pause=0, width=0.*raised ZeroDivisionError"):
        check_other_options(Pulses())


def test_exchanged_ends_and_equal_options_are_found() -> None:
    check_other_options(Line())
    with pytest.raises(AssertionError, match="Are the two exchanged"):
        check_other_options(Backwards())
    with pytest.raises(AssertionError, match=r"begin=50, end=50.*raised ZeroDivisionError"):
        check_other_options(Divides())
