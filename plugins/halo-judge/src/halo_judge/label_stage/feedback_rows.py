"""From what a judge said to rows of feedback, and why other completions make none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from halo_core.scoring_judge import answer_id
from halo_core.workspace.records import FeedbackLine, VerdictLine
from halo_judge.label_stage.ask_for_labels import ALONE
from halo_judge.label_stage.candidates import Candidates

UNSCORED = "unscored"
NEAR = "nearer to the threshold than the margin"
EQUAL = "equal scores"
CLOSE = "scores that differ by less than the margin"
TIE = "tie"
FLIP = "the two orders preferred different texts"

Scores = Mapping[str, float]
"""Answer id to score, of those that have one."""


@dataclass(frozen=True)
class Rules:
    """Which feedback to make, and of which scores.

    Attributes:
        feedback: Its kind.
        threshold: Binary: the score at which a completion is desirable; ``median`` is that of all.
        above: Whether high scores are the good ones.
        margin: What scores must differ by, from the threshold or in a pair.
    """

    feedback: Literal["binary", "paired", "scored"]
    threshold: float | Literal["median"] | None
    above: bool
    margin: float


def rows_of_scores(
    rules: Rules, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    """Yields the rows that scores make; counts what is left out by reason.

    Args:
        rules: Which rows to make.
        candidates: What was scored.
        scores: What the judge said.
        dropped: Is added to.
    """
    if rules.feedback == "binary":
        return _binary(rules, candidates, scores, dropped)
    return (_paired if rules.feedback == "paired" else _scored)(rules, candidates, scores, dropped)


def threshold_of(rules: Rules, scores: Scores) -> float:
    """Returns the threshold: the one given, or the median of all scores (0 without any)."""
    if isinstance(rules.threshold, float):
        return rules.threshold
    return float(median(scores.values())) if scores else 0.0


def _sign(rules: Rules) -> float:
    return 1.0 if rules.above else -1.0


def _binary(
    rules: Rules, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    threshold = threshold_of(rules, scores)
    for group in candidates:
        for text, score in _scored_texts(group, scores, dropped):
            above = _sign(rules) * (score - threshold)
            if abs(above) < rules.margin:
                dropped[NEAR] += 1
                continue
            yield {
                "id": answer_id(group.prompt, text),
                "prompt": group.prompt,
                "completion": text,
                "desirable": above >= 0,
                "score": score,
            }


def _paired(
    rules: Rules, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    for group in candidates:
        scored = list(_scored_texts(group, scores, dropped))
        if len(scored) < 2:
            dropped[ALONE] += len(scored)
            continue
        ranked = sorted(scored, key=lambda item: -_sign(rules) * item[1])
        (chosen, high), (rejected, low) = ranked[0], ranked[-1]
        if high == low or abs(high - low) < rules.margin:
            dropped[EQUAL if high == low else CLOSE] += 1
            continue
        yield _pair(group, chosen, rejected) | {"chosen_score": high, "rejected_score": low}


def _scored(
    rules: Rules, candidates: Sequence[Candidates], scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    for group in candidates:
        scored = list(_scored_texts(group, scores, dropped))
        if scored:
            yield {
                "id": group.prompt_id,
                "prompt": group.prompt,
                "completions": [text for text, _ in scored],
                "scores": [_sign(rules) * score for _, score in scored],
            }


def _scored_texts(
    group: Candidates, scores: Scores, dropped: Counter[str]
) -> Iterator[tuple[str, float]]:
    for answer in group.answers():
        if answer.id in scores:
            yield answer.completion, scores[answer.id]
        else:
            dropped[UNSCORED] += 1


def rows_of_verdicts(lines: Sequence[VerdictLine], dropped: Counter[str]) -> Iterator[FeedbackLine]:
    """Yields a pair for each duel that both orders decide alike; counts the others by reason."""
    for line in lines:
        group = Candidates(line["prompt_id"], line["prompt"], ())
        texts = line["completion"], line["baseline"]
        if line["result"] in ("win", "loss"):
            yield _pair(group, *(texts if line["result"] == "win" else texts[::-1]))
        elif line["result"] == "unscored":
            dropped[UNSCORED] += 1
        else:
            dropped[FLIP if line["flip"] else TIE] += 1


def _pair(group: Candidates, chosen: str, rejected: str) -> FeedbackLine:
    return {"id": group.prompt_id, "prompt": group.prompt, "chosen": chosen, "rejected": rejected}
