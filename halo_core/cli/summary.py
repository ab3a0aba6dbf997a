"""The summary at the end of `halo run`: what was done, the results, where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

from halo_core.cli.terminal import fitting, hanging
from halo_core.cli.tracker_lines import label_lines, tracker_rows
from halo_core.display.texts import time_text
from halo_core.printing import Drawn, shortened
from halo_core.run.plan import Plan
from halo_core.run.status import RunStatus
from halo_core.tracking.carrier import shown_path
from halo_core.workspace.run_title import run_title

LONGEST_REASON = 160
"""Number of characters of a failed cell's error in the table."""

if TYPE_CHECKING:
    from halo_core.suite.plan import SuitePlan
    from halo_core.suite.runner import SuiteRunner
    from halo_core.suite.state import CellOutcome


def summary(plan: Plan, status: RunStatus, seconds: float) -> str:
    """Returns the summary of a finished run, for people.

    Args:
        plan: The plan that was run.
        status: The results.
        seconds: Wall time of this command.
    """
    width = max(len(stage.id) for stage in status.stages)
    title = run_title(plan.run_folder)
    named = status.name if title == status.name else f"{title} ({status.name})"
    lines = ["", f"{named} is done in {time_text(seconds)}.", ""]
    for stage in status.stages:
        note = "(in the store)" if stage.status == "cached" else f"({time_text(stage.seconds)})"
        text = f"{stage.headline or stage.use} {note}"
        lines.append(hanging(f"  {stage.id:<{width}}  ", text))
    lines += ["", "Where to look next", ""]
    lines += label_lines(_next(plan, status))
    return "\n".join(lines)


def _next(plan: Plan, status: RunStatus) -> list[tuple[str, str]]:
    rows = [("report", shown_path(path)) for path in status.reports]
    models = [s for s in plan.stages if s.spec.component.produces == "model"]
    if models:
        rows.append(("model", shown_path(models[-1].folder / "model")))
    return rows + tracker_rows(status.trackers)


def suite_summary(
    plan: SuitePlan, runner: SuiteRunner, told: Mapping[str, Any], seconds: float
) -> str:
    """Returns the summary of a suite, for people.

    Args:
        plan: The plan that was run.
        runner: The outcome of each cell.
        told: Descriptions of the trackers.
        seconds: Wall time of this command.
    """
    outcomes = list(runner.outcomes.values())
    counts = Counter(outcome.status for outcome in outcomes)
    counted = ", ".join(f"{n} {status}" for status, n in counts.items())
    lines = ["", f"{plan.folder.name}: {len(outcomes)} cells in {time_text(seconds)}: {counted}"]
    lines += ["", fitting(["cell", "status", "result"], [_row(each) for each in outcomes])]
    lines += ["", "Where to look next", ""]
    workspace = quote(shown_path(plan.folder.parents[1]))
    figures = f"halo report {plan.folder.name} --workspace {workspace}"
    rows = [("suite", shown_path(plan.folder)), ("figures", figures), *tracker_rows(told)]
    return Drawn.joined([*lines, *label_lines(rows)])


def _row(outcome: CellOutcome) -> list[str]:
    if outcome.error is None:
        return [outcome.id, outcome.status, outcome.headline]
    # Its headline is that of a stage that succeeded. The whole error is printed at the end.
    sentence = (outcome.error["message"] or "").partition(". ")[0]
    return [outcome.id, outcome.status, shortened(sentence, LONGEST_REASON)]
