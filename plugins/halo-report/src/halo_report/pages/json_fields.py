"""Parts of a comparison as `--json` prints them."""

from __future__ import annotations

from typing import Any

from halo_report.read.cell_matrix import Cell
from halo_report.read.pairwise import PairTest
from halo_statistics.intervals import Proportion


def share_fields(share: Proportion | None) -> dict[str, Any]:
    """Returns ``rate``, ``low`` and ``high``, each None without a win rate."""
    if share is None:
        return {"rate": None, "low": None, "high": None}
    return {"rate": share.rate, "low": share.low, "high": share.high}


def pair_fields(test: PairTest) -> dict[str, Any]:
    """Returns a test of two cells, which are named by their columns."""
    return {
        "a": test.a.x,
        "b": test.b.x,
        "test": test.test,
        "n": test.n,
        "difference": test.difference,
        "p": test.p,
        "p_holm": test.p_holm,
        "p_failures_other_way": test.p_other,
    }


def cell_fields(cell: Cell) -> dict[str, Any]:
    """Returns which cell it is, and its counts."""
    rate = cell.rate
    counts = {"wins": rate.wins, "n": rate.total, "unparsed": rate.unscored} if rate else {}
    return {"x": cell.x, "series": cell.series, **counts}
