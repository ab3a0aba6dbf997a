"""Has duels judged: asks for those that a folder has no line of, and keeps each as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_core.guarded.judge_calls import opened
from halo_core.judge import VERDICT_FORM, Judge, JudgeSession, Verdict
from halo_core.stage import StageContext
from halo_core.workspace.records import VerdictLine
from halo_judge.judge_stage.ask import ask, batches, judge_context
from halo_judge.judge_stage.duels import Duel
from halo_judge.judge_stage.kept_lines import Lines, Pause
from halo_judge.judge_stage.orders import Order, comparison_id, comparisons
from halo_judge.judge_stage.verdict_file import verdict_line, verdict_lines


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
            yield verdict_line(duel, (), {}, lengths=lengths)
    parts = (comparisons(part, orders) for part in batches(duels, judge.prompts_at_once))
    owners = {comparison_id(d, order): d for d in duels for order in orders[d.prompt_id]}
    # A judge answers in any order, so one verdict of a duel may wait long for the other.
    waiting: dict[str, Verdict] = {}
    for verdict in ask(judge, session, VERDICT_FORM, parts, pause):
        waiting[verdict.id] = verdict
        duel = owners[verdict.id]
        ids = {comparison_id(duel, order) for order in orders[duel.prompt_id]}
        if ids <= waiting.keys():
            verdicts = {id_: waiting.pop(id_) for id_ in ids}
            yield verdict_line(duel, orders[duel.prompt_id], verdicts, lengths=lengths)
