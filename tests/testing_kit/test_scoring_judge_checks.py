import re
from contextlib import contextmanager

import pytest

from halo_core import Judge, Score, ScoringJudge
from halo_core.testing import check_scoring_judge
from halo_core.testing.judges import check_scores


def judge(score):
    class Made(ScoringJudge):
        @contextmanager
        def open_scoring(self, context):
            yield Session()

    class Session:
        def score(self, answers):
            return score(answers)

    return Made()


def each(score):
    return judge(lambda answers: [score(answer) for answer in answers])


def length(answer):
    return Score(answer.id, float(len(answer.completion)))


def test_a_good_judge_passes(tmp_path):
    check_scores(each(length), tmp_path)


def test_unscored_answers_with_a_reason_pass(tmp_path):
    check_scores(judge(lambda a: (Score(x.id, None, "no opinion") for x in a[::-1])), tmp_path)


def test_the_check_of_a_scoring_judge_checks_its_verdicts_too(tmp_path):
    class Broken(ScoringJudge):
        def tie_below(self):
            raise RuntimeError("cannot compare")

        def open_scoring(self, context):
            return each(length).open_scoring(context)

    check_scores(Broken(), tmp_path)
    with pytest.raises(AssertionError, match="cannot compare"):
        check_scoring_judge(Broken(), tmp_path)


def test_a_judge_that_only_compares_is_told_what_it_lacks(tmp_path):
    class Compares(Judge):
        def open(self, context):
            raise NotImplementedError

    with pytest.raises(AssertionError, match="is no judge that scores: subclass"):
        check_scores(Compares(), tmp_path)


def counted(values):
    found = iter(values * 1000)
    return each(lambda a: Score(a.id, float(next(found))))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (each(lambda a: Score(a.id, None)), "is unscored without a reason; say why"),
        (each(lambda a: Score(a.id, 1)), "score() gave the value 1; expected one Score"),
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
def test_a_broken_rule_is_named(made, message, tmp_path):
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_scores(made, tmp_path)
