import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from halo_core.reference_update import ReferenceUpdate
from halo_core.testing.reference_updates import check_reference_update, check_shares


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
        (lambda step: 0.0, "up to 1,000,000: it never changes the reference"),
    ],
)
def test_shares_that_break_a_rule_are_named(share: Callable[[int], Any], message: str) -> None:
    Calls.count = 0
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_shares(update(share))


def test_the_edges_are_shares() -> None:
    check_shares(update(lambda step: step % 2))
