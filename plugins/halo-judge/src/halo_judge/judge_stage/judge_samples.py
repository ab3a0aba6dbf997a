"""Runs the stage `judge`: pairs samples, lets a judge decide the duels, and counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import NamedTuple

from halo_core.errors import DataError
from halo_core.guarded.judge_calls import opened
from halo_core.judge import VERDICT_FORM, Comparison, Judge, JudgeSession, Verdict
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.records import VERDICTS, VerdictLine
from halo_judge.judge_stage.ask import ask, batches, judge_context, name_of, opened_at_once
from halo_judge.judge_stage.cost import is_paid
from halo_judge.judge_stage.duels import (
    Duel,
    Order,
    assign_orders,
    comparison,
    comparison_id,
)
from halo_judge.judge_stage.kept_lines import (
    check_scored,
    verdict_line,
    verdict_lines,
)
from halo_judge.judge_stage.sample_duels import pair_samples
from halo_judge.judge_stage.unread import BesideTexts, warn_of_the_unread
from halo_judge.judge_stage.verdict_metrics import headline, summary_metrics
from halo_judge.judge_stage.verdict_numbers import VerdictNumbers
from halo_statistics import Interval


def judge_samples(
    judge: Judge,
    context: StageContext,
    *,
    of: str,
    against: str,
    both_orders: bool,
    confidence: float,
    interval: Interval,
) -> StageResult:
    """Judges the duels without a verdict, and returns the win rate.

    Args:
        judge: The judge.
        context: ``inputs["of"]`` has the samples, and ``inputs["against"]``, if any, the others.
        of: The sampling stage that is judged, for messages.
        against: The rival, a sampling stage or ``target``, for messages.
        both_orders: Whether each duel is judged in both orders; else half of them in each order.
        confidence: Confidence level of the win rate's interval, in (0, 1).
        interval: Method of the interval.

    Raises:
        DataError: When no prompt has two completions to compare.
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    duels, unpaired = find_duels(context, of=of, against=against)
    orders = assign_orders(duels, both=both_orders)
    # A paid judge that was not asked, because all texts were the same, still reports a cost of 0.
    # Its quote comes first, so that an invalid quote ends the stage before anything is paid for.
    paid = {"calls": 0} if is_paid(judge, context.cache) else {}
    judged = judge_and_keep(judge, context, duels, orders)
    context.events.append("verdicts", stage=context.id, path=VERDICTS.name, count=len(duels))
    _warn_of_failures(context, judged.numbers)
    metrics = summary_metrics(judged.numbers, confidence=confidence, interval=interval)
    sentence = headline(
        judged.numbers,
        rival="the SFT target" if against == "target" else f"'{against}'",
        judge=name_of(judge),
        confidence=confidence,
        interval=interval,
    )
    return StageResult(paid | metrics | {"unpaired": unpaired}, sentence)


def find_duels(context: StageContext, *, of: str, against: str) -> tuple[Sequence[Duel], int]:
    """Returns the duels to judge, and the number of samples without a baseline.

    Raises:
        DataError: When there is nothing to judge.
    """
    folder = context.inputs.get("against")
    paired = pair_samples(context.inputs["of"], folder)
    duels, unpaired = paired.duels, paired.unpaired
    lack = f"no completion in {against!r}" if folder else "no target in the data"
    count = f"{unpaired} of {unpaired + len(duels)} prompts of {of!r} have {lack}"
    if not duels:
        raise DataError(
            f"{count}; expected prompts with two completions to compare. Sample prompts of "
            "data that has demonstrations, or judge against another sampling stage",
            location=f"stages.{context.id}.against",
        )
    if unpaired:
        context.warn(f"{count}; they are left out")
    for stage, later in ((of, paired.later), (against, paired.later_rivals)):
        if later:
            context.warn(
                f"{later} samples of {stage!r} are not compared, because only the first sample of "
                "each prompt is"
            )
    return duels, unpaired


class Judged(NamedTuple):
    """The verdicts on all duels.

    Attributes:
        lines: The line of each duel in order, which are read from the file.
        numbers: Their numbers.
    """

    lines: Collection[VerdictLine]
    numbers: VerdictNumbers


def judge_and_keep(
    judge: Judge,
    context: StageContext,
    duels: Sequence[Duel],
    orders: Sequence[Sequence[Order]],
    *,
    lengths: bool = True,
) -> Judged:
    """Returns the line of each duel in order, and judges the duels without a line in the folder.

    The stage `label` and the command `halo judge` use it too.

    Args:
        judge: The judge.
        context: The context. Each line is saved in its folder at once.
        duels: The duels to judge.
        orders: The orders in which each duel is judged.
        lengths: Whether the lines have the numbers of tokens.

    Raises:
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    beside = (BesideTexts(duel.tools, (duel.fields, duel.baseline_fields)) for duel in duels)
    warn_of_the_unread(judge, beside, context.warn)
    lines = verdict_lines(context.folder, duels, orders).go_on(context)
    if lines.lacking:
        opening = opened(judge, VERDICT_FORM, lambda: judge.open(judge_context(context)))
        with opened_at_once(opening, context) as session:
            asking = _judge(
                judge, session, duels, orders, lines.lacking, lines.pause, lengths=lengths
            )
            lines.take(asking)
    found = lines.in_order()
    numbers = VerdictNumbers(found)
    first = numbers.first_failure
    check_scored(name_of(judge), "comparisons", numbers.asked, numbers.answered, first)
    return Judged(found, numbers)


def _judge(
    judge: Judge,
    session: JudgeSession,
    duels: Sequence[Duel],
    orders: Sequence[Sequence[Order]],
    lacking: Sequence[int],
    pause: Callable[[], None],
    *,
    lengths: bool,
) -> Generator[tuple[int, VerdictLine], None, None]:
    """Yields the number and the line of each duel as soon as all its orders are judged."""
    for number in lacking:
        if not orders[number]:
            yield number, verdict_line(duels[number], (), {}, lengths=lengths)
    # The duels of the batch that is asked, by the ids of their comparisons.
    owners: dict[str, tuple[int, Duel]] = {}

    def parts() -> Iterator[list[Comparison]]:
        for numbers in batches(lacking, judge.prompts_at_once):
            part = [(number, duels[number]) for number in numbers]
            owners.clear()
            owners.update(
                (comparison_id(duel, order), (number, duel))
                for number, duel in part
                for order in orders[number]
            )
            yield [comparison(duel, order) for number, duel in part for order in orders[number]]

    # A judge answers in any order, so the two verdicts of a duel may be far apart.
    waiting: dict[str, Verdict] = {}
    for verdict in ask(judge, session, VERDICT_FORM, parts(), pause):
        waiting[verdict.id] = verdict
        number, duel = owners[verdict.id]
        ids = {comparison_id(duel, order) for order in orders[number]}
        if ids <= waiting.keys():
            verdicts = {id_: waiting.pop(id_) for id_ in ids}
            yield number, verdict_line(duel, orders[number], verdicts, lengths=lengths)


def _warn_of_failures(context: StageContext, numbers: VerdictNumbers) -> None:
    if failed := numbers.results["unscored"]:
        context.warn(
            f"{failed} of {numbers.results.total()} comparisons are unscored; the first: "
            f"{numbers.first_failure}. To ask again: --again {context.id}"
        )
