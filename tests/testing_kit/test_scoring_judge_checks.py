import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from halo_core import (
    Answer,
    Judge,
    JudgeContext,
    JudgeSession,
    Score,
    ScoringJudge,
    ScoringSession,
)
from halo_core.testing import check_scoring_judge
from halo_core.testing.judges.rules import check_scores


def judge(score: Callable[[Sequence[Answer]], Iterable[Score]]) -> ScoringJudge:
    class Made(ScoringJudge):
        @contextmanager
        def open_scoring(self, context: JudgeContext) -> Iterator[ScoringSession]:
            yield Session()

    class Session:
        def score(self, answers: Sequence[Answer]) -> Iterable[Score]:
            return score(answers)

    return Made()


def each(score: Callable[[Answer], Score]) -> ScoringJudge:
    return judge(lambda answers: [score(answer) for answer in answers])


def length(answer: Answer) -> Score:
    return Score(answer.id, float(len(answer.completion)))


def test_a_good_judge_passes(tmp_path: Path) -> None:
    check_scores(each(length), tmp_path)


def test_unscored_answers_with_a_reason_pass(tmp_path: Path) -> None:
    check_scores(judge(lambda a: (Score(x.id, None, "no opinion") for x in a[::-1])), tmp_path)


def test_the_check_of_a_scoring_judge_checks_its_verdicts_too(tmp_path: Path) -> None:
    class Broken(ScoringJudge):
        def tie_below(self) -> float:
            raise RuntimeError("cannot compare")

        def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
            return each(length).open_scoring(context)

    check_scores(Broken(), tmp_path)
    with pytest.raises(AssertionError, match="cannot compare"):
        check_scoring_judge(Broken(), tmp_path)


def test_a_judge_that_only_compares_is_told_what_it_lacks(tmp_path: Path) -> None:
    class Compares(Judge):
        def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
            raise NotImplementedError

    with pytest.raises(AssertionError, match="is not a scoring judge: subclass"):
        check_scores(Compares(), tmp_path)


def counted(values: list[int]) -> ScoringJudge:
    found = iter(values * 1000)
    return each(lambda a: Score(a.id, float(next(found))))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (each(lambda a: Score(a.id, None)), "is unscored without a reason; say why"),
        (each(lambda a: Score(a.id, "1")), "score() gave the value '1'; expected one Score"),
        (
            each(lambda a: Score(a.id, float("inf"))),
            "score() gave the value inf; expected",
        ),
        (judge(lambda a: [length(x) for x in a if x.completion]), "expected one for each of"),
        (judge(lambda a: [length(x) for x in a] * 2), "expected one for each of"),
        (judge(lambda a: [Score("x", 1.0)]), "no answers, but scores came back"),
        (each(lambda a: Score(a.id, 1 / len(a.completion))), "raised ZeroDivisionError"),
        (counted([1, 2, 3, 4, 5]), "with the answers in reverse"),
    ],
)
def test_a_broken_rule_is_named(made: Judge, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_scores(made, tmp_path)
