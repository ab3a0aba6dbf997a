"""Checks what judges that score promise: a finite number per answer, or a reason why none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.judge import Judge
from halo_core.scoring import SCORE_FORM, Answer, Score, ScoringJudge, ScoringSession
from halo_core.stage import ModelInput
from halo_core.testing.expect import expect, must_not_raise
from halo_core.testing.judge import HARD_COMPARISONS, check_form, check_judge, judge_context

HARD_ANSWERS: Sequence[Answer] = tuple(
    Answer(f"{c.id}, {side}", c.prompt, text)
    for c in HARD_COMPARISONS
    for side, text in (("a", c.a), ("b", c.b))
)
"""Plain, equal, empty, odd and long texts."""
SAME_SCORE = 1e-4
"""Relative and absolute tolerance, as models round differently in other batches."""


def check_scoring_judge(
    judge: Judge,
    folder: Path,
    *,
    answers: Sequence[Answer] = HARD_ANSWERS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Runs `check_judge` and `check_scores`.

    Args:
        judge: One with the options it is used with; what it talks to must be there.
        folder: An empty folder for what the judge keeps.
        answers: What to score.
        models: Option of the judge to the model that it names, where it names one.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_judge(judge, folder / "compared", models=models)
    check_scores(judge, folder / "scored", answers=answers, models=models)


def check_scores(
    judge: Judge,
    folder: Path,
    *,
    answers: Sequence[Answer] = HARD_ANSWERS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks the scores of two sessions in one folder, a call without answers, and the order.

    Raises:
        AssertionError: When the judge is no `ScoringJudge` or raises, when there is not exactly
            one score per answer, a score is neither finite nor None with a reason, or the order
            of the answers changes a score.
    """
    if not isinstance(judge, ScoringJudge):
        expect(False, judge, "is no judge that scores: subclass halo_core.ScoringJudge")
        return
    context = judge_context(folder, models)
    for opening in ("first", "second"):
        with (
            must_not_raise(judge, f"the {opening} session"),
            judge.open_scoring(context) as session,
        ):
            expect(not list(session.score([])), judge, "no answers, but scores came back")
            there = _scores(judge, session, answers)
            back = _scores(judge, session, answers[::-1])
        _check_order(judge, there, back)


def _scores(judge: Judge, session: ScoringSession, answers: Sequence[Answer]) -> dict[str, Score]:
    scores = list(session.score(answers))
    check_form(judge, scores, SCORE_FORM)
    came = sorted(score.id for score in scores)
    asked = sorted(answer.id for answer in answers)
    expect(came == asked, judge, f"scores for {came}; expected one for each of {asked}")
    for score in scores:
        expect(
            score.value is not None or score.reason != "",
            judge,
            f"{score.id!r} is unscored without a reason; say why",
        )
    return {score.id: score for score in scores}


def _check_order(judge: Judge, there: dict[str, Score], back: dict[str, Score]) -> None:
    for id_, score in there.items():
        other = back[id_]
        same = score.value == other.value or (
            score.value is not None
            and other.value is not None
            and math.isclose(score.value, other.value, rel_tol=SAME_SCORE, abs_tol=SAME_SCORE)
        )
        expect(
            same,
            judge,
            f"{id_!r} scored {score.value} and, with the answers in reverse, {other.value}; "
            "expected the same",
        )
