import pytest
from halo_median.median import Median

from halo_core import Observed, Pair
from halo_core.testing import check_reference_point


def test_the_median_keeps_the_rules_of_a_reference_point() -> None:
    check_reference_point(Median())


@pytest.mark.parametrize(
    ("logratios", "value"), [([0.1, 0.2, 99.0], 0.2), ([-9.0, -1.0, 5.0], 0.0)]
)
def test_one_extreme_completion_does_not_move_it(logratios: list[float], value: float) -> None:
    pairs = [Pair(i, i) for i in range(3)]
    assert Median().estimate(Observed(logratios, [1, 1, 1], pairs, 3), {}).value == value
