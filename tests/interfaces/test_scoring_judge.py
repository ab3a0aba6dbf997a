import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core.errors import PluginError
from halo_core.judge import Comparison, JudgeContext, Verdict
from halo_core.scoring_judge import Answer, Score, ScoreComparisons, ScoringJudge, answer_id

PROMPT = ({"role": "user", "content": "q"},)


UNUSED = JudgeContext(Path("unused"), Path("unused"))


class Scoring(ScoringJudge):
    """Returns the value that it was made with."""

    session: Any = Field(default=None, description="Value that open_scoring() opens.")
    gap: Any = Field(default=0.0, description="Value that tie_below() returns.")

    def tie_below(self) -> Any:
        return self.gap

    def open_scoring(self, context: JudgeContext) -> Any:
        return self.session


class Session:
    """Scores texts with a mapping, and records them."""

    def __init__(self, values: Mapping[str, Any], also: Sequence[object] = ()) -> None:
        self.values = values
        self.also = also
        self.asked: list[str] = []

    def score(self, answers: Sequence[Answer]) -> Iterator[Any]:
        for answer in answers:
            self.asked.append(answer.completion)
            value = self.values[answer.completion]
            if value == "nothing":
                continue
            if isinstance(value, Exception):
                raise value
            reason = "too odd" if value is None else ""
            yield Score(answer.id, value, reason)
        yield from self.also


def compare(
    session: Session, *pairs: tuple[str, str], tie_below: float = 0.0
) -> dict[str, Verdict]:
    comparisons = [Comparison(f"{i}", PROMPT, a, b) for i, (a, b) in enumerate(pairs)]
    with Scoring(session=nullcontext(session), gap=tie_below).open(UNUSED) as opened:
        return {verdict.id: verdict for verdict in opened.compare(comparisons)}


def test_the_higher_score_wins_and_equal_ones_tie() -> None:
    said = compare(Session({"x": 1.0, "y": 2.0, "z": 1.0}), ("x", "y"), ("y", "x"), ("x", "z"))
    assert [said[id_].winner for id_ in "012"] == ["B", "A", "tie"]
    assert said["0"].reason == "A: 1; B: 2"


def test_scores_that_differ_by_less_than_the_option_are_a_tie() -> None:
    values = {"x": 1.0, "y": 1.25}
    assert compare(Session(values), ("x", "y"), tie_below=0.26)["0"].winner == "tie"
    assert compare(Session(values), ("x", "y"), tie_below=0.25)["0"].winner == "B"


def test_each_text_is_scored_once_in_a_session() -> None:
    session = Session({"x": 1.0, "y": 2.0, "z": 3.0})
    opened = ScoreComparisons(Scoring(), session)
    first = [Comparison("1", PROMPT, "x", "y"), Comparison("2", PROMPT, "y", "x")]
    assert [v.winner for v in opened.compare(first)] == ["B", "A"]
    second = [Comparison("3", PROMPT, "x", "z"), Comparison("4", PROMPT, "x", "x")]
    assert {v.id: v.winner for v in opened.compare(second)} == {"3": "B", "4": "tie"}
    assert session.asked == ["x", "y", "z"]


def test_the_same_text_after_another_prompt_is_scored_again() -> None:
    session = Session({"x": 1.0, "y": 2.0})
    other = ({"role": "user", "content": "another"},)
    comparisons = [Comparison("1", PROMPT, "x", "y"), Comparison("2", other, "x", "y")]
    assert len(list(ScoreComparisons(Scoring(), session).compare(comparisons))) == 2
    assert session.asked == ["x", "y", "x", "y"]


def test_the_same_text_beside_other_calls_or_tools_is_scored_again() -> None:
    session = Session({"x": 1.0})
    fields, tools = {"tool_calls": [{"name": "moo"}]}, [{"name": "moo"}]
    comparisons = [
        Comparison("1", PROMPT, "x", "x"),
        Comparison("2", PROMPT, "x", "x", None, fields, None),
        Comparison("3", PROMPT, "x", "x", tools, fields, fields),
    ]
    assert len(list(ScoreComparisons(Scoring(), session).compare(comparisons))) == 3
    assert session.asked == ["x"] * 3


def test_an_unscored_side_makes_the_comparison_unscored_with_its_reason() -> None:
    said = compare(Session({"x": 1.0, "y": None}), ("x", "y"), ("x", "x"))
    assert (said["0"].winner, said["0"].reason) == (None, "B: too odd")
    assert said["1"].winner == "tie"


def test_a_text_that_is_passed_over_makes_its_comparisons_unscored() -> None:
    said = compare(Session({"x": 1.0, "y": "nothing", "z": 2.0}), ("x", "y"), ("z", "x"))
    assert (said["0"].winner, said["0"].reason) == (None, "B: the judge gave no score")
    assert said["1"].winner == "A"


def test_verdicts_come_before_the_session_fails() -> None:
    session = Session({"x": 1.0, "y": 2.0, "z": ZeroDivisionError("a bug")})
    verdicts = ScoreComparisons(Scoring(), session).compare(
        [Comparison("1", PROMPT, "x", "y"), Comparison("2", PROMPT, "x", "z")]
    )
    assert next(verdicts).winner == "B"
    with pytest.raises(ZeroDivisionError):
        next(verdicts)


def test_a_whole_number_becomes_a_float_unless_it_is_too_large() -> None:
    value = Score("1", 3).value
    assert (value, type(value)) == (3.0, float)
    assert Score("1", 3).fault() is None
    assert Score("1", 10**400).fault() == f"the value {10**400}"


@pytest.mark.parametrize(
    ("values", "also", "came"),
    [
        ({"x": 1.0, "y": float("nan")}, (), "the value nan"),
        ({"x": True, "y": 2.0}, (), "the value True"),
        ({"x": 1.0, "y": 2.0}, ("ten",), "'ten'"),
        ({"x": 1.0, "y": 2.0}, (Score("else", 1.0),), "a Score of 'else', which waits for none"),
        (
            {"x": 1.0, "y": 2.0},
            (Score(answer_id(PROMPT, "x"), 1.0),),
            f"a Score of '{answer_id(PROMPT, 'x')}', which waits for none",
        ),
        ({"x": 1.0, "y": 2.0}, (Score("", 1.0, None),), "the reason None"),
        ({"x": 1.0, "y": 2.0}, (Score("", 1.0, cut="yes"),), "the cut 'yes'"),
        ({"x": 1.0, "y": 2.0}, (Score(3, 1.0),), "the id 3"),
    ],
)
def test_what_is_no_score_of_an_answer_is_its_authors_fault(
    values: Mapping[str, Any], also: Sequence[object], came: str
) -> None:
    with pytest.raises(PluginError) as error:
        compare(Session(values, also), ("x", "y"))
    assert error.value.message == (
        f"Scoring.score() gave {came}; expected one Score per answer, with its id and a finite "
        "float or None"
    )
    assert re.fullmatch(rf"{__file__}:\d+", error.value.location)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session": 3}, "open_scoring() returned 3; expected a context manager that gives a ses"),
        ({"session": nullcontext(3)}, "open_scoring() gave 3; expected a session that has score()"),
        ({"gap": "a"}, "tie_below() returned 'a'; expected a number of at least 0"),
        ({"gap": -1.0}, "tie_below() returned -1.0; expected a number of at least 0"),
        ({"gap": float("nan")}, "tie_below() returned nan; expected a number of at least 0"),
    ],
)
def test_a_judge_that_opens_no_session_is_blamed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as error, Scoring(**options).open(UNUSED):
        pass
    assert error.value.message.startswith(f"Scoring.{message}")
    assert error.value.location.startswith(f"{__file__}:")


def test_a_text_that_was_too_long_is_named_in_the_reason() -> None:
    class Short(Session):
        def score(self, answers: Sequence[Answer]) -> Iterator[Any]:
            for given in super().score(answers):
                yield Score(given.id, given.value, given.reason, cut=given.value > 1)

    said = compare(Short({"x": 1.0, "y": 2.0}), ("x", "y"))
    assert said["0"].reason == "A: 1; B: 2 (cut: it was too long)"
