"""What the stage `judge` does: pairs samples, asks the judge, keeps the verdicts, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_core.errors import DataError
from halo_core.guarded.judge_calls import opened
from halo_core.judge import VERDICT_FORM, Judge, JudgeSession, Verdict
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.records import VERDICTS, VerdictLine
from halo_judge.stage.ask import ask, batches, judge_context, name_of
from halo_judge.stage.cost import is_paid
from halo_judge.stage.duels import Duel, pair_samples
from halo_judge.stage.kept_lines import Lines, Pause
from halo_judge.stage.options import JudgeStage
from halo_judge.stage.orders import Order, assign_orders, comparison_id, comparisons
from halo_judge.stage.verdict_file import first_failure, make_record, verdict_lines
from halo_judge.stage.verdict_metrics import headline, summary_metrics


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
    context.events.append("verdicts", stage=context.id, path=VERDICTS.name, count=len(ordered))
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
    *,
    lengths: bool = True,
) -> list[VerdictLine]:
    """Returns the line of each duel, in their order; judges those that the folder has none of.

    Args:
        judge: Who compares.
        context: Its folder keeps the lines, each as soon as it is there.
        duels: What to judge.
        orders: Prompt id to the orders in which it is judged.
        lengths: Whether the lines have the numbers of tokens.

    Raises:
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop; verdicts are kept.
    """

    def ask_for(session: JudgeSession, lacking: set[str], pause: Pause) -> Lines[VerdictLine]:
        rest = [duel for duel in duels if duel.prompt_id in lacking]
        return judge_duels(judge, session, rest, orders, pause, lengths=lengths)

    ids = [duel.prompt_id for duel in duels]
    session = opened(judge, VERDICT_FORM, lambda: judge.open(judge_context(context)))
    lines = verdict_lines(context.folder, duels, orders)
    return lines.complete(ids, session, ask_for, context)


def judge_duels(
    judge: Judge,
    session: JudgeSession,
    duels: Sequence[Duel],
    orders: Mapping[str, Sequence[Order]],
    pause: Pause,
    *,
    lengths: bool,
) -> Lines[VerdictLine]:
    """Yields the line of each duel as soon as all its orders are judged.

    Args:
        judge: Who opened the session.
        session: An opened judge.
        duels: What to judge.
        orders: Prompt id to the orders in which it is judged; none for identical texts.
        pause: Called before a comparison is asked again.
        lengths: Whether the lines have the numbers of tokens.

    Raises:
        PluginError: When the judge breaks its interface.
    """
    for duel in duels:
        if not orders[duel.prompt_id]:
            yield make_record(duel, (), {}, lengths=lengths)
    asked = (comparisons(part, orders) for part in batches(duels, judge.prompts_at_once))
    owners = {comparison_id(d, order): d for d in duels for order in orders[d.prompt_id]}
    verdicts: dict[str, Verdict] = {}
    for verdict in ask(judge, session, VERDICT_FORM, asked, pause):
        verdicts[verdict.id] = verdict
        duel = owners[verdict.id]
        own = {comparison_id(duel, order) for order in orders[duel.prompt_id]}
        if own <= verdicts.keys():
            said = {id_: verdicts.pop(id_) for id_ in own}
            yield make_record(duel, orders[duel.prompt_id], said, lengths=lengths)


def _warn_of_failures(context: StageContext, records: Sequence[VerdictLine]) -> None:
    failed = sum(record["result"] == "unscored" for record in records)
    if failed:
        context.warn(
            f"{failed} of {len(records)} comparisons are unscored; the first: "
            f"{first_failure(records)}. To ask again: --again {context.id}"
        )


def _headline(stage: JudgeStage, records: Sequence[VerdictLine]) -> str:
    rival = "the SFT target" if stage.against == "target" else f"'{stage.against}'"
    return headline(
        records,
        rival=rival,
        judge=name_of(stage.judge),
        confidence=stage.confidence,
        interval=stage.interval,
    )
