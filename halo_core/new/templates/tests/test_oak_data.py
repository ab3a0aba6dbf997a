from pathlib import Path

import pytest

from halo_core import DataError, PathError
from halo_core.testing import check_data_source

from halo_acorn.oak_data import OakData


def test_the_source_keeps_the_rules() -> None:
    check_data_source(OakData())


def test_rows_are_labelled_by_their_rating_and_drops_are_counted() -> None:
    loaded = OakData(good_from=5).load("train")
    assert [row["desirable"] for row in loaded.rows] == [True, False, True, False, False]
    assert loaded.dropped == {
        "the question or the answer is empty": 1,
        "the rating is not a number from 1 to 5": 1,
    }


def test_another_file_has_another_digest(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text('question,answer,rating,by\nWhy?,"It is,\nbecause.",2,Ana\n')
    source = OakData(path=str(file))
    loaded = source.load("train")
    assert [row["completion"] for row in loaded.rows] == ["It is,\nbecause."]
    assert loaded.ignored == {"by": 1}
    assert source.inspect().digest != OakData().inspect().digest


def test_a_file_that_is_absent_or_lacks_a_column_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    with pytest.raises(PathError, match="cannot be read"):
        OakData(path=str(file)).inspect()
    file.write_text("question,answer\nWhy?,Because.\n")
    with pytest.raises(DataError, match="add rating"):
        OakData(path=str(file)).load("train")
