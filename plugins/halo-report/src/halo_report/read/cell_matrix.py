"""Judged models as cells in the columns (x) and series of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Any, Literal

from halo_report.read.run_data import StageData
from halo_statistics.intervals import Proportion
from halo_statistics.win_rate import Result, WinRate

Failures = Literal["lost", "left out"]
PENDING = "pending"
"""Status of a suite's cell that has not ended. Without a run, the cell was never started."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of a cell's completions, in tokens.

    Attributes:
        mean: The mean.
        median: The median; None if only the mean is known.
    """

    mean: float
    median: float | None


def lengths_of(tokens: Sequence[int]) -> Lengths | None:
    """Returns the lengths of some completions, or None without completions."""
    return Lengths(fmean(tokens), float(median(tokens))) if tokens else None


@dataclass(frozen=True)
class JudgedCell:
    """One model that was judged, or should have been.

    Attributes:
        x: Its place on the x axis, usually the method.
        series: Its series, usually the size of the model.
        run: The run's folder name, or "".
        status: ``done``, or the reason for a missing result: ``missing``, ``failed``, ``running``
            or ``pending``.
        why: Details of the reason, if known.
        rate: Its counts; None if nothing was judged.
        results: Results by prompt id, if they are known one by one.
        lengths: Lengths of its completions; None if they are not known.
        trained: Its last train stage, for curves.
        title: The name of its run for people, or "".
        judge: The judge stage with its verdicts, if they are known.
    """

    x: str
    series: str
    run: str = ""
    status: str = "done"
    why: str = ""
    rate: WinRate | None = None
    results: Mapping[str, Result] = field(default_factory=dict)
    lengths: Lengths | None = None
    trained: StageData | None = None
    title: str = ""
    judge: StageData | None = None


@dataclass(frozen=True)
class ImbalancePoint:
    """A model trained on a part of the data: a point of the imbalance curve.

    Attributes:
        side: Subject of the curve, for example ``desirable``.
        fraction: The share of the data that was kept, in (0, 1].
        cell: The model.
    """

    side: str
    fraction: float
    cell: JudgedCell


@dataclass(frozen=True)
class CellMatrix:
    """Cells in display order.

    Attributes:
        name: Name of the suite, the runs or the file.
        x_axis: Meaning of the columns, for example ``method``.
        series_axis: Meaning of the series, for example ``size``; "" with one series.
        xs: The columns, in order.
        series: The series, in order.
        cells: The cells by column and series. Cells that were not requested are absent.
        failures: Whether figures count comparisons without a verdict as losses or leave them out.
        labels: Labels in figures by name. A name without a label is its own label.
    """

    name: str
    x_axis: str
    series_axis: str
    xs: Sequence[str]
    series: Sequence[str]
    cells: Mapping[tuple[str, str], JudgedCell]
    failures: Failures
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """Returns the label of a column or series in figures and tables."""
        return self.labels.get(name, name)

    def name_of(self, cell: JudgedCell) -> str:
        """Returns the name of a cell for people: the title of its run, else its place."""
        parts = [self.label(part) for part in (cell.series, cell.x) if part]
        return cell.title or "/".join(parts)

    def ordered(self) -> Iterator[JudgedCell]:
        """Yields the cells, one series after another."""
        for series in self.series:
            for x in self.xs:
                if (x, series) in self.cells:
                    yield self.cells[x, series]

    def begun_part(self) -> CellMatrix:
        """Returns the matrix without the columns and series that have no started cell.

        If no cell was started, everything stays. So if only some cells of a suite were run with
        ``--cell``, only these are shown. A cell among them that failed or has not run yet is shown
        as missing.
        """
        begun = {key for key, cell in self.cells.items() if cell.run or cell.status != PENDING}
        if not begun:
            return self
        xs = [x for x in self.xs if any(x == column for column, _ in begun)]
        series = [name for name in self.series if any(name == line for _, line in begun)]
        cells = {key: cell for key, cell in self.cells.items() if key[0] in xs and key[1] in series}
        return replace(self, xs=xs, series=series, cells=cells)

    def share(self, cell: JudgedCell) -> Proportion | None:
        """Returns a cell's win rate as figures show it."""
        return share_of(cell, self.failures)

    @property
    def judged(self) -> bool:
        """Returns whether any cell has a win rate."""
        return any(self.share(cell) for cell in self.cells.values())


def share_of(cell: JudgedCell, failures: Failures) -> Proportion | None:
    """Returns a cell's win rate with failures counted in one of the two ways."""
    if cell.rate is None:
        return None
    return cell.rate.failures_lost if failures == "lost" else cell.rate.main


def share_fields(share: Proportion | None) -> dict[str, Any]:
    """Returns ``rate``, ``low`` and ``high`` for `--json`, each None without a win rate."""
    if share is None:
        return {"rate": None, "low": None, "high": None}
    return {"rate": share.rate, "low": share.low, "high": share.high}
