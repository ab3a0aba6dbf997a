"""What the stage `label` does: asks the judge, keeps what it says, and makes rows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_core.scoring_judge import ScoringJudge
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.files import write_json
from halo_core.workspace.records import FEEDBACK
from halo_judge.label.ask_for_labels import ask_for_scores, ask_for_verdicts
from halo_judge.label.candidates import Candidates, by_prompt, of_data, of_samples
from halo_judge.label.feedback_rows import (
    UNSCORED,
    Row,
    rows_of_scores,
    rows_of_verdicts,
    threshold_of,
)
from halo_judge.label.options import Label
from halo_judge.stage.ask import name_of
from halo_judge.stage.cost import is_paid
from halo_judge.stage.verdict_metrics import price

COUNTS = "counts.json"


def label(
    stage: Label, context: StageContext, *, where: str | None = None, again: str | None = None
) -> StageResult:
    """Asks what is not asked yet, and writes the feedback.

    Args:
        stage: The options.
        context: ``inputs["of"]`` has the samples, or ``data["data"]`` the rows.
        where: What is called so in messages; the stage in its spec when left out.
        again: How what is unscored is asked for again; the option ``--again`` when left out.

    Raises:
        DataError: When there is nothing to label, or no row is left.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop; what the judge said is kept.
    """
    dropped: Counter[str] = Counter()
    candidates = find_candidates(stage, context, dropped)
    facts: dict[str, float] = {}
    if isinstance(stage.judge, ScoringJudge):
        scores, failed = ask_for_scores(stage.judge, context, candidates)
        rows = list(rows_of_scores(stage, candidates, scores, dropped))
        if stage.feedback == "binary":
            facts["threshold"] = threshold_of(stage, scores)
    else:
        records, failed = ask_for_verdicts(stage.judge, context, candidates, dropped)
        rows = list(rows_of_verdicts(records, dropped))
        facts |= ({"calls": 0} if is_paid(stage.judge, context.cache) else {}) | price(records)
    where, again = where or f"stages.{context.id}", again or f"--again {context.id}"
    _check(rows, dropped, failed, where)
    _warn(rows, dropped, failed, again, context)
    return _write(stage, context, rows, dropped, facts)


def find_candidates(stage: Label, context: StageContext, dropped: Counter[str]) -> list[Candidates]:
    """Returns the completions of each prompt; counts those that are left out by reason.

    Raises:
        PathError: When there are no samples.
        DataError: When samples or rows cannot be read.
    """
    if stage.of is None:
        rows = of_data(context.data["data"])
    else:
        rows = of_samples(context.inputs["of"], stage.against, context.inputs.get("against"))
    return by_prompt(rows, dropped)


def _check(rows: Sequence[Row], dropped: Counter[str], failed: str, where: str) -> None:
    first = f" The first that is unscored: {failed}." if failed else ""
    if not rows:
        raise DataError(
            f"no row of feedback is left ({_reasons(dropped) or 'there are no completions'})."
            f"{first} What the judge said is kept beside; expected at least one row",
            location=where,
        )


def _warn(
    rows: Sequence[Row], dropped: Counter[str], failed: str, again: str, context: StageContext
) -> None:
    if dropped[UNSCORED]:
        context.warn(
            f"{dropped[UNSCORED]} are unscored and left out; the first: {failed}. "
            f"To ask again: {again}"
        )
    labels = {row["desirable"] for row in rows if "desirable" in row}
    if len(labels) == 1:
        which = "desirable" if labels.pop() else "undesirable"
        context.warn(
            f"all {len(rows)} completions are {which}; a loss such as kto needs both. Another "
            "threshold would give both: median makes about half desirable"
        )


def _write(
    stage: Label,
    context: StageContext,
    rows: Sequence[Row],
    dropped: Counter[str],
    facts: Mapping[str, float],
) -> StageResult:
    FEEDBACK.write(context.folder / FEEDBACK.name, rows)
    left_out = {reason: n for reason, n in sorted(dropped.items()) if n}
    name = name_of(stage.judge)
    summary: dict[str, Any] = {"feedback": stage.feedback, "judge": name, "rows": len(rows)}
    write_json(context.folder / COUNTS, {**summary, **facts, "dropped": left_out})
    context.events.append("feedback", stage=context.id, path=FEEDBACK.name, count=len(rows))
    metrics = {"n": len(rows), "dropped": sum(left_out.values()), "unscored": dropped[UNSCORED]}
    parts = ""
    if stage.feedback == "binary":
        good = sum(row["desirable"] for row in rows)
        metrics |= {"desirable": good, "undesirable": len(rows) - good}
        parts = f": {good} desirable, {len(rows) - good} undesirable"
    reasons = _reasons(dropped)
    out = f"; left out: {reasons}" if reasons else ""
    headline = f"{len(rows)} rows of {stage.feedback} feedback{parts} ({name}){out}"
    return StageResult({**metrics, **facts}, headline)


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()) if n)
