"""Figure 6: win rate against the fraction of the desirable or undesirable data that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halo_report.figures.colours import SERIES
from halo_report.figures.plot import INK, Plot
from halo_report.read.cell_matrix import Failures, ImbalancePoint, JudgedCell, share_of
from halo_statistics.intervals import Proportion


def imbalance_figure(
    points: Sequence[ImbalancePoint], lines: Mapping[str, JudgedCell], failures: Failures
) -> Plot | None:
    """Returns the figure of the curves with their intervals, or None without a judged cell.

    Args:
        points: The points of all curves.
        lines: Cells that are drawn as horizontal lines with their intervals, by label.
        failures: Whether comparisons without a verdict are losses or left out.
    """
    curves: dict[str, list[tuple[float, Proportion]]] = {}
    for point in sorted(points, key=lambda point: point.fraction):
        share = share_of(point.cell, failures)
        if share is not None:
            curves.setdefault(point.side, []).append((point.fraction, share))
    if not curves:
        return None
    levels = {name: s for name, cell in lines.items() if (s := share_of(cell, failures))}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (side, shares) in enumerate(sorted(curves.items())):
            _curve(axes, shares, f"{side} data kept", place, len(curves))
        for name, share in levels.items():
            axes.axhspan(share.low, share.high, color=INK, alpha=0.08, linewidth=0)
            axes.axhline(share.rate, color=INK, linestyle="--", linewidth=1.2, label=name)
        fractions = sorted({point.fraction for point in points})
        axes.set_xscale("log")
        axes.set_xticks(fractions, [f"{fraction:g}" for fraction in fractions])
        axes.minorticks_off()
        axes.set_xlabel("fraction kept (logarithmic)")
        axes.set_ylabel("win rate")
        axes.legend(loc="best")

    caption = "Win rate over the fraction of the data kept"
    return Plot("imbalance", caption, paint, width=6.2, height=3.6)


def _curve(
    axes: Axes, points: Sequence[tuple[float, Proportion]], label: str, place: int, count: int
) -> None:
    # Curves with the same fraction would hide each other's intervals, so each is moved a little.
    aside = 1 + 0.05 * (place - (count - 1) / 2)
    shares = [share for _, share in points]
    reach = [[s.rate - s.low for s in shares], [s.high - s.rate for s in shares]]
    axes.errorbar(
        [fraction * aside for fraction, _ in points],
        [share.rate for share in shares],
        yerr=reach,
        fmt="o-",
        color=SERIES[place % len(SERIES)],
        capsize=3,
        markersize=4,
        linewidth=1.4,
        label=label,
    )
