"""The page of a run: one HTML document with its style and figures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from halo_core.errors import HaloError
from halo_report.curves import curve_figures
from halo_report.html import render
from halo_report.implied_value import run_values
from halo_report.judge_biases import COLUMNS, judge_biases
from halo_report.lengths import completion_lengths, lengths_figure
from halo_report.plot import Plot
from halo_report.run_data import RunData, StageData
from halo_report.side_by_side import side_by_side
from halo_report.value_figure import value_figure
from halo_report.win_figure import win_figure
from halo_statistics.win_rate import WinRate, win_rate


def render_page(run: RunData, *, samples: int = 20) -> str:
    """Returns the page of a run, as far as the run got.

    Everything from the run is escaped; the page loads nothing and runs nothing.

    Args:
        run: What the run left.
        samples: Prompts to show with their completions side by side.
    """
    rates = win_rates(run.stages)
    return render(
        "run.html.j2",
        {
            "run": run,
            "facts": run_facts(run),
            "rates": rates,
            "win": win_figure(rates),
            "bias_columns": list(COLUMNS.values()),
            "biases": judge_biases(run.stages),
            "curves": {stage.id: plots for stage in run.stages if (plots := curve_figures(stage))},
            "values": run_value_figure(run.resolved),
            "lengths": lengths_figure(completion_lengths(run.stages)),
            "cards": side_by_side(run.stages, samples),
        },
    )


def win_rates(stages: Sequence[StageData]) -> dict[str, WinRate]:
    """Returns the win rate of each stage that has verdicts, with the interval it asked for."""
    return {stage.id: _win_rate(stage) for stage in stages if stage.verdicts}


def _win_rate(stage: StageData) -> WinRate:
    return win_rate(
        (verdict["result"] for verdict in stage.verdicts),
        confidence=stage.options.get("confidence", 0.9),
        interval=stage.options.get("interval", "exact"),
    )


def run_value_figure(resolved_spec: str) -> Plot | None:
    """Returns the value functions of a run's losses; None where none of them declares one.

    A plugin that is gone or broken costs the page this figure, not the page.
    """
    try:
        return value_figure(run_values(resolved_spec))
    except HaloError:
        return None


def run_facts(run: RunData) -> Mapping[str, str]:
    """Returns what, when and with which versions, label to text; unknown ones are left out."""
    facts = {
        "Run": run.name,
        "Started": _moment(run.started),
        "Took": _duration(run.started, run.ended),
        "Command": run.command,
        "Folder": str(run.folder),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return {label: text for label, text in facts.items() if text}


def _moment(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else ""


def _duration(start: float | None, end: float | None) -> str:
    if start is None or end is None or end < start:
        return ""
    minutes, seconds = divmod(round(end - start), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
