"""The source reads files as they are, the conversion takes the best, and both keep the rules."""

from pathlib import Path

import pytest
from halo_ratings.best import Best
from halo_ratings.rated_csv import RatedCsv

from halo_core import DataError
from halo_core.testing import GivenRows, check_conversion, check_data_source

RATED = """\
question,answer,stars,by
What is a quark?,"A particle, inside protons.",5,ann
Who was Noether?,A mathematician.,4.5,bob
What is a quark?,A kind of cheese.,2,ann
What is a quark?,,3,bob
Who was Noether?,I forgot.,,ann
"""


@pytest.fixture
def rated(tmp_path: Path) -> RatedCsv:
    file = tmp_path / "ratings.csv"
    file.write_text(RATED)
    return RatedCsv(path=str(file))


def test_a_group_has_the_answers_to_one_question(rated: RatedCsv) -> None:
    check_data_source(rated)
    loaded = rated.load("train")
    rows = list(loaded.rows)
    assert [row["prompt"][0]["content"] for row in rows] == ["What is a quark?", "Who was Noether?"]
    assert rows[0]["completions"] == ["A particle, inside protons.", "A kind of cheese."]
    assert rows[0]["scores"] == [5.0, 2.0]
    assert dict(loaded.dropped) == {"no question or no answer": 1, "no rating": 1}
    assert dict(loaded.ignored) == {"by": 5}


def test_a_rating_that_is_no_number_and_a_missing_column_are_told(rated: RatedCsv) -> None:
    Path(rated.path).write_text("question,answer,stars\na,b,good\n")
    with pytest.raises(DataError, match=r"csv:2: the rating is 'good'; expected a number"):
        list(rated.load("train").rows)
    with pytest.raises(DataError, match="there is no column likes; the columns are question, "):
        RatedCsv(path=rated.path, rating="likes").inspect()
    Path(rated.path).write_bytes("question,answer,stars\nÜ,b,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="the byte 22 is not UTF-8; save the file as UTF-8"):
        rated.inspect()


def test_a_cell_without_a_column_is_counted(rated: RatedCsv) -> None:
    Path(rated.path).write_text("question,answer,stars\na,b,1,more\n")
    loaded = rated.load("train")
    assert len(list(loaded.rows)) == 1
    assert dict(loaded.ignored) == {"no column": 1}


def test_the_digest_follows_the_content_and_the_columns(rated: RatedCsv) -> None:
    digest = rated.inspect().digest
    other = RatedCsv(path=rated.path, question="answer", answer="question")
    assert other.inspect().digest != digest
    Path(rated.path).write_text(RATED.replace("cheese", "yoghurt"))
    assert rated.inspect().digest != digest


def test_the_best_answer_is_the_demonstration(rated: RatedCsv) -> None:
    check_conversion(lambda source: Best(source=source), feedback="scored")
    loaded = Best(source=rated, at_least=4.8).load("train")
    assert [row["completion"] for row in loaded.rows] == ["A particle, inside protons."]
    assert loaded.dropped["best score below at_least"] == 1
    assert loaded.dropped["no rating"] == 1
    with pytest.raises(DataError, match="the source has paired feedback; expected scored"):
        Best(source=GivenRows(feedback="paired")).inspect()
