"""From what a judge said to rows of feedback, and why other completions make none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TypeAlias

from halo_core.scoring_judge import answer_id
from halo_core.workspace.records import FeedbackLine, VerdictLine
from halo_judge.label.ask_for_labels import ALONE
from halo_judge.label.candidates import Candidates
from halo_judge.label.options import Label

UNSCORED = "unscored"
NEAR = "nearer to the threshold than the margin"
EQUAL = "equal scores"
CLOSE = "scores that differ by less than the margin"
TIE = "tie"
FLIP = "the two orders preferred different texts"

Row: TypeAlias = FeedbackLine
Scores = Mapping[str, float]
"""Answer id to score, of those that have one."""


def rows_of_scores(
    stage: Label, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[Row]:
    """Yields the rows that scores make; counts what is left out by reason.

    Args:
        stage: The options.
        candidates: What was scored.
        scores: What the judge said.
        dropped: Is added to.
    """
    if stage.feedback == "binary":
        return _binary(stage, candidates, scores, dropped)
    return (_paired if stage.feedback == "paired" else _scored)(stage, candidates, scores, dropped)


def threshold_of(stage: Label, scores: Scores) -> float:
    """Returns the threshold: the one given, or the median of all scores (0 without any)."""
    if isinstance(stage.threshold, float):
        return stage.threshold
    return float(median(scores.values())) if scores else 0.0


def _sign(stage: Label) -> float:
    return 1.0 if stage.desirable == "above" else -1.0


def _binary(
    stage: Label, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[Row]:
    threshold = threshold_of(stage, scores)
    for each in candidates:
        for text, score in _scored_texts(each, scores, dropped):
            above = _sign(stage) * (score - threshold)
            if abs(above) < stage.margin:
                dropped[NEAR] += 1
                continue
            yield {
                "id": answer_id(each.prompt, text),
                "prompt": each.prompt,
                "completion": text,
                "desirable": above >= 0,
                "score": score,
            }


def _paired(
    stage: Label, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[Row]:
    for each in candidates:
        found = list(_scored_texts(each, scores, dropped))
        if len(found) < 2:
            dropped[ALONE] += len(found)
            continue
        ranked = sorted(found, key=lambda item: -_sign(stage) * item[1])
        (chosen, high), (rejected, low) = ranked[0], ranked[-1]
        if high == low or abs(high - low) < stage.margin:
            dropped[EQUAL if high == low else CLOSE] += 1
            continue
        yield _pair(each, chosen, rejected) | {"chosen_score": high, "rejected_score": low}


def _scored(
    stage: Label, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[Row]:
    for each in candidates:
        found = list(_scored_texts(each, scores, dropped))
        if found:
            yield {
                "id": each.prompt_id,
                "prompt": each.prompt,
                "completions": [text for text, _ in found],
                "scores": [_sign(stage) * score for _, score in found],
            }


def _scored_texts(
    each: Candidates, scores: Scores, dropped: Counter[str]
) -> Iterator[tuple[str, float]]:
    for answer in each.answers():
        if answer.id in scores:
            yield answer.completion, scores[answer.id]
        else:
            dropped[UNSCORED] += 1


def rows_of_verdicts(records: Sequence[VerdictLine], dropped: Counter[str]) -> Iterator[Row]:
    """Yields a pair for each duel that both orders decide alike; counts the others by reason."""
    for record in records:
        each = Candidates(record["prompt_id"], record["prompt"], ())
        texts = record["completion"], record["baseline"]
        if record["result"] in ("win", "loss"):
            yield _pair(each, *(texts if record["result"] == "win" else texts[::-1]))
        elif record["result"] == "unscored":
            dropped[UNSCORED] += 1
        else:
            dropped[FLIP if record["flip"] else TIE] += 1


def _pair(each: Candidates, chosen: str, rejected: str) -> Row:
    return {"id": each.prompt_id, "prompt": each.prompt, "chosen": chosen, "rejected": rejected}
