"""The figure of win rates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from halo_report.palette import BLUE, ORANGE
from halo_report.plot import Plot, on_axes
from halo_statistics.intervals import Proportion
from halo_statistics.win_rate import WinRate


def win_figure(rates: Mapping[str, WinRate]) -> Plot | None:
    """Returns the win rate of each judge stage with its interval, or None without any.

    Args:
        rates: Stage id to win rate; drawn from top to bottom.
    """
    shown = {id_: rate for id_, rate in rates.items() if rate.main}
    if not shown:
        return None
    failed = any(rate.unscored for rate in shown.values())

    def paint(axes: Axes) -> None:
        axes.axvline(0.5, color="#888888", linewidth=0.8)
        for place, rate in enumerate(shown.values()):
            _bar(axes, place, rate.main, BLUE, "failures left out", place == 0)
            if failed:
                _bar(
                    axes, place + 0.22, rate.failures_lost, ORANGE, "failures as losses", place == 0
                )
        axes.set_yticks(range(len(shown)), list(shown))
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("win rate (ties are half a win)")
        if failed:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return Plot("win rate", "Win rates", on_axes(paint), 6.2, 1.2 + 0.45 * len(shown))


def _bar(
    axes: Axes, place: float, share: Proportion | None, colour: str, label: str, named: bool
) -> None:
    if share is None:
        return
    reach = [[share.rate - share.low], [share.high - share.rate]]
    axes.errorbar(
        [share.rate],
        [place],
        xerr=reach,
        fmt="o",
        color=colour,
        capsize=3,
        markersize=5,
        label=label if named else None,
    )
