import pytest

from halo_core import DataError, DataSource
from halo_core.testing import GivenRows, check_conversion

from halo_acorn.oak_conversion import OakConversion


def test_the_conversion_keeps_the_rules() -> None:
    def around(source: DataSource) -> DataSource:
        return OakConversion(source=source)

    check_conversion(around, feedback="scored")


def test_the_best_completion_is_taken_and_drops_are_counted() -> None:
    # The scores of the prompt with the number n are 4 + n, 3 and 1.
    groups = GivenRows(feedback="scored")
    loaded = OakConversion(source=groups, lead=3.0).load("train")
    rows = list(loaded.rows)
    assert [row["id"] for row in rows] == ["train-duck", "train-frog", "train-owl", "train-bee"]
    assert rows[0]["completion"] == "A duck is heard."
    assert loaded.dropped == {
        "no completion leads by enough": 2,
        "left out by the wrapped source": 3,
    }


def test_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="the source has paired feedback; expected scored"):
        OakConversion(source=GivenRows(feedback="paired")).inspect()
