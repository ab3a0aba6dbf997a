"""What `halo run` tells at the end of a suite: each cell, and where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from halo_core.cli.summary import time_text
from halo_core.cli.terminal import table
from halo_core.cli.tracker_lines import label_lines, tracker_rows
from halo_core.tracking import shown_path

if TYPE_CHECKING:
    from halo_core.suite.outcome import CellOutcome
    from halo_core.suite.plan import SuitePlan
    from halo_core.suite.run import SuiteRunner


def suite_summary(
    plan: SuitePlan, runner: SuiteRunner, told: Mapping[str, Any], seconds: float
) -> str:
    """Returns the summary of a suite, for people.

    Args:
        plan: What was run.
        runner: How each cell ended.
        told: What trackers say of themselves.
        seconds: Wall time of this command.
    """
    outcomes = list(runner.outcomes.values())
    counts = Counter(outcome.status for outcome in outcomes)
    counted = ", ".join(f"{n} {status}" for status, n in counts.items())
    lines = ["", f"{plan.folder.name}: {len(outcomes)} cells in {time_text(seconds)}: {counted}"]
    lines += ["", table(["cell", "status", "result"], [_row(each) for each in outcomes])]
    lines += ["", "Where to look next", ""]
    workspace = shown_path(plan.folder.parents[1])
    figures = f"halo report {plan.folder.name} --workspace {workspace}"
    rows = [("suite", shown_path(plan.folder)), ("figures", figures), *tracker_rows(told)]
    return "\n".join([*lines, *label_lines(rows)])


def _row(outcome: CellOutcome) -> list[str]:
    return [outcome.id, outcome.status, outcome.headline]
