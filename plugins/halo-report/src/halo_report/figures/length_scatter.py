"""The length of the answers against the win rate, with one point for each judged model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from halo_report.figures.plot import HEIGHT, INK, LEGEND, WIDTH, Plot
from halo_statistics.intervals import Proportion


@dataclass(frozen=True)
class LengthPoint:
    """A judged model.

    Attributes:
        name: Its name.
        tokens: Median length of its answers, or the mean if the median is not known.
        share: Its win rate.
    """

    name: str
    tokens: float
    share: Proportion


def length_scatter(
    points: Sequence[LengthPoint], target: float | None, colours: Mapping[str, str]
) -> Plot | None:
    """Returns the figure, or None for fewer than two points.

    Args:
        points: The models.
        target: Median length of the texts that all models were compared with, or None.
        colours: The colour of each model by name.
    """
    if len(points) < 2:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0.5, color="#888888", linewidth=0.8)
        if target is not None:
            axes.axvline(target, color=INK, linewidth=0.8, linestyle=":")
            axes.annotate(
                "target",
                (target, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 3),
                textcoords="offset points",
            )
        for point in points:
            share = point.share
            axes.errorbar(
                [point.tokens],
                [share.rate],
                yerr=[[share.rate - share.low], [share.high - share.rate]],
                fmt="o",
                color=colours.get(point.name, INK),
                markersize=5,
                linewidth=1.2,
                label=point.name,
            )
        axes.margins(x=0.15)
        axes.set_xlabel("median tokens per answer")
        axes.set_ylabel("win rate")
        figure.legend(loc="outside lower center", ncols=2)

    rows = -(-len(points) // 2)
    caption = "Length of the answers against the win rate"
    return Plot("length-against-win-rate", caption, paint, WIDTH, HEIGHT + LEGEND * rows)
