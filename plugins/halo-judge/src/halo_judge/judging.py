"""What the stage `judge` does: pairs samples, asks the judge, keeps the verdicts, counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from halo_core.errors import DataError
from halo_core.judge import Judge, JudgeSession, Verdict
from halo_core.stage import StageContext, StageResult
from halo_judge.asking import ask, judge_name
from halo_judge.components import JudgeStage
from halo_judge.opening import is_paid, judge_context, open_judge
from halo_judge.orders import Order, assign_orders, comparison, comparison_id
from halo_judge.samples import Duel, pair_samples
from halo_judge.summary import headline, summary_metrics
from halo_judge.verdicts import (
    VERDICTS,
    Record,
    append_record,
    kept_records,
    make_record,
    write_records,
)


def judge_samples(stage: JudgeStage, context: StageContext) -> StageResult:
    """Judges what is not judged yet, and returns the win rate.

    Args:
        stage: The options.
        context: ``inputs["of"]`` has the samples; ``inputs["against"]``, when there, the others.

    Raises:
        DataError: When no prompt has two completions to compare.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop; verdicts are kept.
    """
    duels, alone = find_duels(stage, context)
    orders = assign_orders(duels, both=stage.orders == "both")
    ordered = judge_and_keep(stage.judge, context, duels, orders)
    context.events.append("verdicts", stage=context.id, path=VERDICTS, count=len(ordered))
    _warn_of_failures(context, ordered)
    paid = {"calls": 0} if is_paid(stage.judge, context.cache) else {}
    metrics = summary_metrics(ordered, confidence=stage.confidence, interval=stage.interval)
    return StageResult(paid | metrics | {"unpaired": alone}, _headline(stage, ordered))


def find_duels(stage: JudgeStage, context: StageContext) -> tuple[list[Duel], int]:
    """Returns what is to be judged, and how many samples have nothing to be compared with.

    Raises:
        DataError: When there is nothing to judge.
    """
    folder = context.inputs.get("against")
    duels, alone = pair_samples(context.inputs["of"], folder)
    lack = f"no completion in {stage.against!r}" if folder else "no target in the data"
    found = f"{alone} of {alone + len(duels)} prompts of {stage.of!r} have {lack}"
    if not duels:
        raise DataError(
            f"{found}; expected prompts with two completions to compare. Sample prompts of "
            "data that has demonstrations, or judge against another sampling stage",
            location=f"stages.{context.id}.against",
        )
    if alone:
        context.warn(f"{found}; they are left out")
    return duels, alone


def judge_and_keep(
    judge: Judge,
    context: StageContext,
    duels: Sequence[Duel],
    orders: Mapping[str, Sequence[Order]],
) -> list[Record]:
    """Returns the line of each duel, in their order; judges those that the folder has none of.

    Args:
        judge: Who compares.
        context: Its folder keeps the lines, each as soon as it is there.
        duels: What to judge.
        orders: Prompt id to the orders in which it is judged.

    Raises:
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop; verdicts are kept.
    """
    path = context.folder / VERDICTS
    records = kept_records(path, duels, orders)
    write_records(path, records.values())
    _judge_the_rest(judge, context, path, duels, orders, records)
    ordered = [records[duel.prompt_id] for duel in duels]
    write_records(path, ordered)
    return ordered


def _judge_the_rest(
    judge: Judge,
    context: StageContext,
    path: Path,
    duels: Sequence[Duel],
    orders: Mapping[str, Sequence[Order]],
    records: dict[str, Record],
) -> None:
    """Adds to `records` (and to the file) those that it lacks."""
    rest = [duel for duel in duels if duel.prompt_id not in records]
    if not rest:
        return
    name = judge_name(judge)
    with (
        open_judge(judge, judge_context(context), name) as session,
        context.progress.bar(context.id, len(duels), len(records)) as bar,
    ):
        for record in judge_duels(session, rest, orders, name, judge.prompts_at_once):
            append_record(path, record)
            records[record["prompt_id"]] = record
            bar.advance()
            if context.stop.is_set():
                kept = f"{len(records)} of {len(duels)} verdicts are kept; the same command goes on"
                context.stop.raise_interrupted(kept)


def judge_duels(
    session: JudgeSession,
    duels: Sequence[Duel],
    orders: Mapping[str, Sequence[Order]],
    name: str,
    at_once: int,
) -> Iterator[Record]:
    """Yields the line of each duel as soon as all its orders are judged.

    Args:
        session: An opened judge.
        duels: What to judge.
        orders: Prompt id to the orders in which it is judged; none for identical texts.
        name: The judge's name, for messages.
        at_once: Prompts that the judge gets at a time.

    Raises:
        PluginError: When the judge breaks its interface.
    """
    for start in range(0, len(duels), at_once):
        batch = duels[start : start + at_once]
        yield from (make_record(duel, (), {}) for duel in batch if not orders[duel.prompt_id])
        asked = [(duel, order) for duel in batch for order in orders[duel.prompt_id]]
        owners = {comparison_id(duel, order): duel for duel, order in asked}
        verdicts: dict[str, Verdict] = {}
        for verdict in ask(session, [comparison(*pair) for pair in asked], name):
            verdicts[verdict.id] = verdict
            duel = owners[verdict.id]
            own = orders[duel.prompt_id]
            if all(comparison_id(duel, order) in verdicts for order in own):
                yield make_record(duel, own, verdicts)


def _warn_of_failures(context: StageContext, records: Sequence[Record]) -> None:
    failed = [record for record in records if record["result"] == "unscored"]
    if not failed:
        return
    reasons = [said["reason"] for said in failed[0]["orders"] if said["winner"] is None]
    context.warn(
        f"{len(failed)} of {len(records)} comparisons are unscored; the first: {reasons[0]}. "
        f"To ask again: --again {context.id}"
    )


def _headline(stage: JudgeStage, records: Sequence[Record]) -> str:
    rival = "the SFT target" if stage.against == "target" else f"'{stage.against}'"
    return headline(
        records,
        rival=rival,
        judge=judge_name(stage.judge),
        confidence=stage.confidence,
        interval=stage.interval,
    )
