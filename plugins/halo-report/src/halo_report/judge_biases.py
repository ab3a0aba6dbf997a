"""What a run's judge stages say about their judges, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_report.run_data import StageData

COLUMNS: Mapping[str, str] = {
    "win_lc": "length-controlled (halo)",
    "length_bias": "correlation with length",
    "first_shown": "points for the first shown",
    "agreement": "orders agree",
    "flip": "flips",
}
"""Metric to what its column is called."""


def judge_biases(stages: Sequence[StageData]) -> dict[str, list[str]]:
    """Returns the texts of the columns for each stage that has any of these metrics."""
    return {
        stage.id: [_text(stage.metrics, name) for name in COLUMNS]
        for stage in stages
        if stage.product == "verdicts" and COLUMNS.keys() & stage.metrics.keys()
    }


def _text(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "none"
    ends = [metrics.get(f"{name}_{end}") for end in ("lo", "hi")]
    known = [end for end in ends if end is not None]
    interval = f" [{known[0]:.3f}, {known[1]:.3f}]" if len(known) == len(ends) else ""
    return f"{metrics[name]:.3f}{interval}"
