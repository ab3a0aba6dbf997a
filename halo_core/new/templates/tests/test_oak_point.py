from halo_core import Observed
from halo_core.testing import check_reference_point

from halo_acorn.oak_point import OakPoint


def observed(*logratios: float) -> Observed:
    return Observed(logratios, [1] * len(logratios), [], len(logratios))


def test_the_point_keeps_the_rules() -> None:
    check_reference_point(OakPoint())


def test_the_point_is_the_average_of_earlier_steps() -> None:
    point = OakPoint(decay=0.5)
    first = point.estimate(observed(1.0, 3.0), {})
    second = point.estimate(observed(5.0), first.state)
    third = point.estimate(observed(), second.state)
    assert (first.value, second.value) == (0.0, 2.0)
    assert third.value == (0.5 * 2.0 + 5.0) / 1.5


def test_the_point_is_never_negative() -> None:
    point = OakPoint()
    assert point.estimate(observed(1.0), point.estimate(observed(-4.0), {}).state).value == 0.0


def test_the_state_stays_as_it_is_when_nothing_is_observed() -> None:
    state = {"total": 3.0, "weight": 2.0}
    assert OakPoint().estimate(observed(), state).state == state
