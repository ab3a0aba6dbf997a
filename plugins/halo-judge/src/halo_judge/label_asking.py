"""Asks a judge what completions are labelled by: scores, or verdicts on pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

from halo_core.judge import Judge
from halo_core.scoring import ScoringJudge
from halo_core.stage import ProgressBar, StageContext
from halo_judge.asking import judge_name
from halo_judge.candidates import Candidates, all_answers
from halo_judge.judging import judge_duels
from halo_judge.opening import judge_context, open_judge, open_scoring
from halo_judge.orders import assign_orders
from halo_judge.samples import Duel
from halo_judge.scores import (
    ScoreRecord,
    append_score,
    ask_scores,
    kept_scores,
    score_record,
    write_scores,
)
from halo_judge.verdicts import Record, append_record, kept_records, write_records

ALONE = "only one completion of the prompt"
THIRD = "third and later completion"


def ask_for_scores(
    judge: ScoringJudge, context: StageContext, candidates: Sequence[Candidates]
) -> tuple[dict[str, float], str]:
    """Returns answer id to score, and why the first unscored one has none.

    All of it is kept in ``scores.jsonl`` as it comes.

    Raises:
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    answers = all_answers(candidates)
    path = context.folder / "scores.jsonl"
    records = kept_scores(path, answers)
    write_scores(path, records.values())
    rest = {answer.id: answer for answer in answers if answer.id not in records}
    if rest:
        name = judge_name(judge)
        with (
            open_scoring(judge, judge_context(context), name) as session,
            context.progress.bar(context.id, len(answers), len(records)) as bar,
        ):
            asked = list(rest.values())
            size = judge.prompts_at_once
            for start in range(0, len(asked), size):
                for score in ask_scores(session, asked[start : start + size], name):
                    record = score_record(rest[score.id], score)
                    append_score(path, record)
                    records[score.id] = record
                    _go_on(context, bar, len(records), len(answers), "scores")
    write_scores(path, [records[answer.id] for answer in answers])
    if cut := sum(record["cut"] for record in records.values()):
        context.warn(
            f"{cut} of {len(answers)} completions were too long for the judge with their prompt: "
            'it saw a part of them ("cut" in scores.jsonl)'
        )
    scores = {id_: r["score"] for id_, r in records.items() if r["score"] is not None}
    return scores, _first(r for r in records.values() if r["score"] is None)


def _first(unscored: Iterable[ScoreRecord]) -> str:
    return next((record["reason"] for record in unscored), "")


def ask_for_verdicts(
    judge: Judge, context: StageContext, candidates: Sequence[Candidates], dropped: Counter[str]
) -> tuple[list[Record], str]:
    """Returns the verdicts on the first two completions of each prompt, in both orders.

    All of it is kept in ``verdicts.jsonl`` as it comes; besides, it returns why the first
    unscored one has no verdict.

    Raises:
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    duels = find_duels(candidates, dropped)
    orders = assign_orders(duels, both=True)
    path = context.folder / "verdicts.jsonl"
    records = kept_records(path, duels, orders)
    write_records(path, records.values())
    rest = [duel for duel in duels if duel.prompt_id not in records]
    if rest:
        name = judge_name(judge)
        with (
            open_judge(judge, judge_context(context), name) as session,
            context.progress.bar(context.id, len(duels), len(records)) as bar,
        ):
            for record in judge_duels(session, rest, orders, name, judge.prompts_at_once):
                records[record["prompt_id"]] = _without_lengths(record)
                append_record(path, records[record["prompt_id"]])
                _go_on(context, bar, len(records), len(duels), "verdicts")
    ordered = [records[duel.prompt_id] for duel in duels]
    write_records(path, ordered)
    failed = [said["reason"] for r in ordered for said in r["orders"] if said["winner"] is None]
    return ordered, failed[0] if failed else ""


def _without_lengths(record: Record) -> Record:
    """Returns a line without the numbers of tokens, which are not known here."""
    kept = {k: v for k, v in record.items() if k not in ("tokens", "baseline_tokens")}
    return cast(Record, kept)


def find_duels(candidates: Sequence[Candidates], dropped: Counter[str]) -> list[Duel]:
    """Returns what a judge that compares is asked: the first two completions of each prompt."""
    duels = []
    for each in candidates:
        if len(each.texts) < 2:
            dropped[ALONE] += 1
            continue
        dropped[THIRD] += len(each.texts) - 2
        first, second = each.texts[:2]
        duels.append(Duel(each.prompt_id, each.prompt, first, second, 0, None))
    return duels


def _go_on(context: StageContext, bar: ProgressBar, done: int, total: int, what: str) -> None:
    bar.advance()
    if context.stop.is_set():
        context.stop.raise_interrupted(
            f"{done} of {total} {what} are kept; the same command goes on"
        )
