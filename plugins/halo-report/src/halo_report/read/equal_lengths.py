"""The length-controlled win rate of a cell."""

from __future__ import annotations

from halo_report.read.cell_matrix import JudgedCell
from halo_statistics import POINTS, length_controlled_rate
from halo_statistics.intervals import Proportion


def rate_at_equal_lengths(cell: JudgedCell) -> Proportion | None:
    """Returns the length-controlled win rate of a cell, or None if its judge stage has none.

    The interval is computed again, because the stage's interval has the stage's own confidence.
    """
    if cell.judge is None or cell.rate is None or "win_lc" not in cell.judge.metrics:
        return None
    scored = [line for line in cell.judge.verdicts if line["result"] != "unscored"]
    controlled = length_controlled_rate(
        [POINTS[line["result"]] for line in scored],
        [len(line["completion"]) for line in scored],
        [len(line["baseline"]) for line in scored],
        confidence=cell.rate.confidence,
    )
    points = controlled.rate * len(scored)
    return Proportion(points, len(scored), controlled.rate, controlled.low, controlled.high)
