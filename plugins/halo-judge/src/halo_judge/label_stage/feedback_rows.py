"""Makes rows of feedback from a judge's results, and counts the reasons for missing rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from halo_core.completion import Completion, scored_columns
from halo_core.workspace.records import FeedbackLine, VerdictLine
from halo_judge.judge_stage.verdict_numbers import middle
from halo_judge.label_stage.ask_for_labels import ALONE, CandidateDuels, Scores
from halo_judge.label_stage.grouped import Groups
from halo_judge.label_stage.said import Candidates, Said

UNSCORED = "unscored"
NEAR = "nearer to the threshold than the margin"
EQUAL = "equal scores"
CLOSE = "scores that differ by less than the margin"
TIE = "tie"
FLIP = "the two orders preferred different texts"

Unfinished = Literal["keep", "drop", "undesirable"]


@dataclass(frozen=True)
class Rules:
    """The rules for making feedback from scores.

    Attributes:
        feedback: Kind of the feedback.
        threshold: For binary feedback, the score at which a completion is desirable; ``median`` is
            the median of all scores.
        above: Whether high scores are good.
        margin: Minimum difference of a score from the threshold, or of the scores in a pair.
        unfinished: Treatment of a completion that was cut.
    """

    feedback: Literal["binary", "paired", "scored"]
    threshold: float | Literal["median"] | None
    above: bool
    margin: float
    unfinished: Unfinished = "keep"


def rows_of_scores(
    rules: Rules, candidates: Groups, scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    """Yields the rows from scores, and counts left-out completions by reason.

    Args:
        rules: The rules for the rows.
        candidates: The scored completions.
        scores: The judge's scores.
        dropped: The counter of the reasons.
    """
    if rules.feedback == "binary":
        return _binary(rules, candidates, scores, dropped)
    return (_paired if rules.feedback == "paired" else _scored)(rules, candidates, scores, dropped)


def threshold_of(rules: Rules, scores: Scores) -> float:
    """Returns the given threshold, or the median of all scores (0 without scores)."""
    if isinstance(rules.threshold, float):
        return rules.threshold
    known = scores.known()
    return middle(known) if len(known) else 0.0


def _sign(rules: Rules) -> float:
    return 1.0 if rules.above else -1.0


def _binary(
    rules: Rules, candidates: Groups, scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    threshold = threshold_of(rules, scores)
    for number, group in enumerate(candidates):
        known = scores.of(number, group)
        for said in group.said:
            if rules.unfinished == "undesirable" and said.is_cut:
                yield _labelled(group, said, {"desirable": False})
                continue
            score = known.get(group.answer_id(said))
            if score is None:
                dropped[UNSCORED] += 1
                continue
            above = _sign(rules) * (score - threshold)
            if abs(above) < rules.margin:
                dropped[NEAR] += 1
                continue
            yield _labelled(group, said, {"desirable": above >= 0, "score": score})


def _labelled(group: Candidates, said: Said, label: Mapping[str, Any]) -> FeedbackLine:
    (completion,), digests = with_one_tokenizer([said])
    row = {
        "id": group.answer_id(said),
        "prompt": group.prompt,
        **_tools(group),
        **completion.columns("completion"),
        **digests,
        **label,
    }
    return cast(FeedbackLine, row)


def _tools(group: Candidates) -> dict[str, Any]:
    return {"tools": group.tools} if group.tools else {}


def with_one_tokenizer(said: Sequence[Said]) -> tuple[list[Completion], dict[str, Any]]:
    """Returns the completions of a row, and the digests for their token ids.

    A row can have the digests of one tokenizer and template. If models have different ones, the
    first completion with token ids keeps them, and the texts of the others will be tokenised.
    """
    first = next((each for each in said if each.has_ids), None)
    if first is None:
        return [each.completion for each in said], {}
    completions = [
        each.whole() if with_what(each) == with_what(first) else without_ids(each.completion)
        for each in said
    ]
    digests = dict(zip(("tokenizer", "template"), with_what(first), strict=True))
    return completions, {name: value for name, value in digests.items() if value is not None}


def with_what(said: Said) -> tuple[str | None, str | None]:
    """Returns the digests of the tokenizer and template of a completion's token ids."""
    return said.tokenizer, said.template


def without_ids(completion: Completion) -> Completion:
    """Returns a completion without its token ids and their log-probabilities."""
    return replace(completion, token_ids=None, token_logps=None, sampling=None)


def _paired(
    rules: Rules, candidates: Groups, scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    for number, group in enumerate(candidates):
        scored = list(_scored_texts(group, scores.of(number, group), dropped))
        if len(scored) < 2:
            dropped[ALONE] += len(scored)
            continue
        ranked = sorted(scored, key=lambda item: -_sign(rules) * item[1])
        (chosen, high), (rejected, low) = ranked[0], ranked[-1]
        if high == low or abs(high - low) < rules.margin:
            dropped[EQUAL if high == low else CLOSE] += 1
            continue
        pair = _pair(group, chosen, rejected)
        yield pair | {"chosen_score": high, "rejected_score": low}


def _scored(
    rules: Rules, candidates: Groups, scores: Scores, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    for number, group in enumerate(candidates):
        scored = list(_scored_texts(group, scores.of(number, group), dropped))
        if scored:
            completions, digests = with_one_tokenizer([said for said, _ in scored])
            row = {
                "id": group.prompt_id,
                "prompt": group.prompt,
                **_tools(group),
                **scored_columns(completions),
                **digests,
                "scores": [_sign(rules) * score for _, score in scored],
            }
            yield cast(FeedbackLine, row)


def _scored_texts(
    group: Candidates, scores: Mapping[str, float], dropped: Counter[str]
) -> Iterator[tuple[Said, float]]:
    for said in group.said:
        score = scores.get(group.answer_id(said))
        if score is None:
            dropped[UNSCORED] += 1
        else:
            yield said, score


def rows_of_verdicts(
    lines: Iterable[VerdictLine], duels: CandidateDuels, dropped: Counter[str]
) -> Iterator[FeedbackLine]:
    """Yields a pair for each duel with the same result in both orders, and counts the others.

    Args:
        lines: The judge's verdict on each duel.
        duels: The duels.
        dropped: The counter of the reasons.
    """
    for number, line in enumerate(lines):
        if line["result"] in ("win", "loss"):
            group = duels.group(number)
            first, second = group.said[:2]
            won = line["result"] == "win"
            yield _pair(group, *((first, second) if won else (second, first)))
        elif line["result"] == "unscored":
            dropped[UNSCORED] += 1
        else:
            dropped[FLIP if line["flip"] else TIE] += 1


def _pair(group: Candidates, chosen: Said, rejected: Said) -> FeedbackLine:
    (better, worse), digests = with_one_tokenizer([chosen, rejected])
    row = {
        "id": group.prompt_id,
        "prompt": group.prompt,
        **_tools(group),
        **better.columns("chosen"),
        **worse.columns("rejected"),
        **digests,
    }
    return cast(FeedbackLine, row)
