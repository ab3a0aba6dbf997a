"""Checks the scores of a judge: one for each answer, the same in each order, cut only if long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.guarded.blame import is_number
from halo_core.judge import Judge
from halo_core.scoring_judge import SCORE_FORM, Answer, Score, ScoringJudge, ScoringSession
from halo_core.stage import ModelInput
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_replies import check_form, check_ids, judge_context
from halo_core.testing.judges.judge_texts import HARD_ANSWERS, own_answers

LARGE = 2.0**53
"""Absolute value from which a float cannot hold a difference of 1."""
FEWEST = 3
"""Number of different texts with one large score from which the kit gives advice."""

SAME_SCORE = 1e-4
"""Relative and absolute tolerance, because models round differently in other batches."""


def check_scores(
    judge: Judge,
    folder: Path,
    *,
    answers: Sequence[Answer] = HARD_ANSWERS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks the scores of two sessions in one folder, a call without answers, and the order.

    Raises:
        AssertionError: When the judge is not a `ScoringJudge` or raises, when there is not exactly
            one score per answer, when a score is neither finite nor None with a reason, when the
            order of the answers changes a score, when the shortest text is cut, when all scores
            are so large that their differences are lost, when they depend on the prompt only, or
            when `tie_below` is larger than all their differences.
    """
    if not isinstance(judge, ScoringJudge):
        expect(False, judge, "is not a scoring judge: subclass halo_core.ScoringJudge")
        return
    context = judge_context(folder, models)
    if answers is HARD_ANSWERS:
        answers = [*answers, *own_answers(judge)]
    told = []
    for opening, order in (("first", answers), ("second", answers[::-1])):
        with (
            must_not_raise(judge, f"the {opening} session"),
            judge.open_scoring(context) as session,
        ):
            expect(not list(session.score([])), judge, "no answers, but scores came back")
            told += [_scores(judge, session, order), _scores(judge, session, order[::-1])]
    _check_cut(judge, told[0], answers)
    _check_large(judge, told[0], answers)
    _check_by_completion(judge, told[0], answers)
    for scores in told[1:]:  # A session may keep what it has scored, and another one may not.
        _check_order(judge, told[0], scores)


def _scores(judge: Judge, session: ScoringSession, answers: Sequence[Answer]) -> dict[str, Score]:
    scores = list(session.score(answers))
    check_form(judge, scores, SCORE_FORM)
    check_ids(judge, scores, answers, "scores")
    for score in scores:
        expect(
            score.value is not None or score.reason != "",
            judge,
            f"{score.id!r} is unscored without a reason; say why",
        )
    return {score.id: score for score in scores}


def _check_cut(judge: Judge, told: Mapping[str, Score], answers: Sequence[Answer]) -> None:
    """Checks that the shortest text is not cut, or that only a prompt is."""
    shortest = min(answers, key=lambda answer: (len(str(answer.prompt)), len(answer.completion)))
    uncut = [id_ for id_, score in told.items() if not score.cut]
    expect(
        not told[shortest.id].cut,
        judge,
        f"the score of {shortest.completion!r}, the shortest text, has cut=True, and "
        f"{len(uncut)} of {len(told)} others do not; expected it only for what is too long to be "
        "read, because halo counts and shows such scores",
    )


def _check_large(judge: Judge, told: Mapping[str, Score], answers: Sequence[Answer]) -> None:
    values = [abs(score.value) for score in told.values() if score.value is not None]
    expect(
        not values or min(values) < LARGE,
        judge,
        f"all scores are as large as {min(values, default=0.0):.3g}, where a float cannot hold a "
        "difference of 1, so different texts tie; leave out what is added to all of them",
    )
    texts: dict[float, set[str]] = {}
    for answer in answers:
        value = told[answer.id].value
        if value is not None and abs(value) >= LARGE:
            texts.setdefault(value, set()).add(answer.completion)
    value, same = max(texts.items(), key=lambda each: len(each[1]), default=(0.0, set()))
    if len(same) >= FEWEST:
        advise(
            judge,
            f"{len(same)} different texts have the score {value:.3g}, where a float cannot hold a "
            "difference of 1. If it is not one value on purpose, leave out what is added to it",
        )


def _check_by_completion(
    judge: ScoringJudge, told: Mapping[str, Score], answers: Sequence[Answer]
) -> None:
    """Checks that completions of one prompt can have different scores, and that one can win."""
    by_prompt: dict[str, dict[str, float]] = {}
    for answer in answers:
        value = told[answer.id].value
        if value is not None:
            by_prompt.setdefault(repr(answer.prompt), {})[answer.completion] = value
    groups = [{*scores.values()} for scores in by_prompt.values() if len(scores) > 1]
    spread = max((max(values) - min(values) for values in groups), default=0.0)
    expect(
        spread > 0 or len(set().union(*groups)) < 2,
        judge,
        f"all completions of a prompt have the same score, and the scores of {len(groups)} prompts "
        "differ, so it scores the prompt; expected a score that depends on the completion",
    )
    try:
        gap: Any = judge.tie_below()
    except Exception:
        return  # `check_verdicts` says this.
    expect(
        not spread or not is_number(gap) or gap <= spread,
        judge,
        f"tie_below() is {gap}, and the scores of completions of one prompt differ by at most "
        f"{spread:.3g}, from empty texts to texts of 8,000 characters, so all comparisons are "
        "ties; expected a smaller number. If it is right for your texts, say why in "
        "unchecked_rules",
    )


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


__all__ = ["check_scores"]
