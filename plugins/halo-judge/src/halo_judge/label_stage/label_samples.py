"""Runs the stage `label`: asks the judge, keeps its results, and makes rows of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from halo_core.errors import DataError
from halo_core.judge import Judge
from halo_core.scoring_judge import ScoringJudge
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.files import write_json
from halo_core.workspace.records import FEEDBACK, FeedbackLine
from halo_judge.files.token_store import TokenStore
from halo_judge.judge_stage.ask import name_of
from halo_judge.judge_stage.cost import is_paid
from halo_judge.judge_stage.unread import reads_beside
from halo_judge.label_stage.ask_for_labels import (
    ask_for_scores,
    ask_for_verdicts,
    pair_candidates,
)
from halo_judge.label_stage.candidates import of_data, of_samples
from halo_judge.label_stage.feedback_rows import (
    UNSCORED,
    Rules,
    rows_of_scores,
    rows_of_verdicts,
    threshold_of,
    with_what,
)
from halo_judge.label_stage.grouped import Groups, by_prompt
from halo_judge.label_stage.said import Candidates

COUNTS = "counts.json"


def label_samples(
    judge: Judge,
    context: StageContext,
    rules: Rules,
    *,
    targets: bool,
    where: str,
    again: str,
) -> StageResult:
    """Asks the judge for missing results, and writes the feedback.

    Args:
        judge: The judge.
        context: ``inputs["of"]`` has the samples, or ``data["data"]`` the rows.
        rules: The rules for the feedback.
        targets: Whether to label also the completion that the data have for a sample's prompt.
        where: Name of the stage or command in messages.
        again: Instruction for asking unscored items again, in messages.

    Raises:
        DataError: When there is nothing to label, or no row is left.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop. The judge's results are kept.
    """
    with TokenStore() as tokens:
        return _labelled(judge, context, rules, tokens, targets=targets, where=where, again=again)


def _labelled(
    judge: Judge,
    context: StageContext,
    rules: Rules,
    tokens: TokenStore,
    *,
    targets: bool,
    where: str,
    again: str,
) -> StageResult:
    dropped: Counter[str] = Counter()
    drop_cut = rules.unfinished == "drop"
    candidates = find_candidates(
        judge,
        context,
        dropped,
        tokens,
        targets=targets,
        drop_cut=drop_cut,
        draws=rules.feedback == "scored",
    )
    if rules.feedback != "binary":
        _warn_of_mixed_ids(candidates, context.warn)
    facts: dict[str, float] = {}
    if isinstance(judge, ScoringJudge):
        undesirable = rules.unfinished == "undesirable"
        scores, failed = ask_for_scores(judge, context, candidates, that_ended=undesirable)
        rows = rows_of_scores(rules, candidates, scores, dropped)
        if rules.feedback == "binary":
            facts["threshold"] = threshold_of(rules, scores)
        if undesirable:
            facts["unfinished"] = candidates.cut
    else:
        duels = pair_candidates(candidates, dropped)
        lines, numbers = ask_for_verdicts(judge, context, duels)
        failed = numbers.first_failure
        rows = rows_of_verdicts(lines, duels, dropped)
        facts |= {"calls": 0} if is_paid(judge, context.cache) else {}
        facts |= numbers.paid()
    tally = Tally()
    if (first := next(rows, None)) is None:
        raise _no_row(dropped, failed, where)
    # Written one by one, because token ids take more memory than all the rest.
    FEEDBACK.write(context.folder / FEEDBACK.name, tally.of(chain([first], rows)))
    _warn(tally, dropped, failed, again, context)
    return _result(context, tally, dropped, facts, feedback=rules.feedback, judge=name_of(judge))


@dataclass
class Tally:
    """Counts rows of feedback that pass.

    Attributes:
        rows: Number of rows.
        labels: Number of rows with each value of ``desirable``.
    """

    rows: int = 0
    labels: Counter[bool] = field(default_factory=Counter)

    def of(self, rows: Iterable[FeedbackLine]) -> Iterator[FeedbackLine]:
        """Yields the rows unchanged, and counts them."""
        for row in rows:
            self.rows += 1
            if "desirable" in row:
                self.labels[row["desirable"]] += 1
            yield row


def find_candidates(
    judge: Judge,
    context: StageContext,
    dropped: Counter[str],
    tokens: TokenStore,
    *,
    targets: bool,
    drop_cut: bool,
    draws: bool = False,
) -> Groups:
    """Returns the completions of each prompt, and counts left-out ones by reason.

    Their token ids are put into the store.

    Raises:
        PathError: When there are no samples.
        DataError: When samples or rows cannot be read.
        PluginError: When the judge does not report what it reads.
    """
    if "of" in context.inputs:
        inputs = context.inputs
        found = of_samples(inputs["of"], inputs.get("against"), targets=targets, tokens=tokens)
    else:
        found = of_data(context.data["data"], tokens)
    fields = "fields" in reads_beside(judge)
    return by_prompt(found, dropped, tokens, drop_cut=drop_cut, reads_fields=fields, draws=draws)


def _warn_of_mixed_ids(candidates: Iterable[Candidates], warn: Callable[[str], None]) -> None:
    """Warns about rows with completions of several tokenizers, because some token ids get lost."""
    digests = ({with_what(said) for said in group.said if said.has_ids} for group in candidates)
    mixed = sum(len(each) > 1 for each in digests)
    if mixed:
        warn(
            f"{mixed} prompts have completions of different tokenizers or templates; a row of "
            "several of them keeps the token ids of the first, and the others are tokenised again"
        )


def _no_row(dropped: Counter[str], failed: str, where: str) -> DataError:
    first = f" The first that is unscored: {failed}." if failed else ""
    return DataError(
        f"no row of feedback is left ({_reasons(dropped) or 'there are no completions'})."
        f"{first} The folder keeps the judge's answers; expected at least one row",
        location=where,
    )


def _warn(
    tally: Tally,
    dropped: Counter[str],
    failed: str,
    again: str,
    context: StageContext,
) -> None:
    if dropped[UNSCORED]:
        context.warn(
            f"{dropped[UNSCORED]} are unscored and left out; the first: {failed}. "
            f"To ask again: {again}"
        )
    if len(tally.labels) == 1:
        which = "desirable" if tally.labels[True] else "undesirable"
        context.warn(
            f"all {tally.rows} completions are {which}; a loss such as kto needs both. Another "
            "threshold would give both: median makes about half desirable"
        )


def _result(
    context: StageContext,
    tally: Tally,
    dropped: Counter[str],
    facts: Mapping[str, float],
    *,
    feedback: str,
    judge: str,
) -> StageResult:
    rows = tally.rows
    left_out = {reason: n for reason, n in sorted(dropped.items()) if n}
    summary: dict[str, Any] = {"feedback": feedback, "judge": judge, "rows": rows}
    write_json(context.folder / COUNTS, {**summary, **facts, "dropped": left_out})
    context.events.append("feedback", stage=context.id, path=FEEDBACK.name, count=rows)
    metrics = {"n": rows, "dropped": sum(left_out.values()), "unscored": dropped[UNSCORED]}
    parts = ""
    if feedback == "binary":
        good = tally.labels[True]
        metrics |= {"desirable": good, "undesirable": rows - good}
        parts = f": {good} desirable, {rows - good} undesirable"
    reasons = _reasons(dropped)
    out = f"; left out: {reasons}" if reasons else ""
    headline = f"{rows} rows of {feedback} feedback{parts} ({judge}){out}"
    return StageResult({**metrics, **facts}, headline)


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()) if n)
