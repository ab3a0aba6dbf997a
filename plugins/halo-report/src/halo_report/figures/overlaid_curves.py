"""Learning curves of several runs, one line for each run, on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from halo_report.figures.curves import KL, NATS, REFERENCE_POINT, thin_curve, thinned_text
from halo_report.figures.plot import HEIGHT, LEGEND, WIDTH, Plot
from halo_report.read.run_data import Curve, StageData

MOST = 10
"""Largest number of runs that one panel can show."""
SHARED: Mapping[str, Sequence[str]] = {
    "reward, desirable or chosen": ("rewards/desirable", "rewards/chosen"),
    "reward, undesirable or rejected": ("rewards/undesirable", "rewards/rejected"),
    "KL estimate (nats)": (KL, REFERENCE_POINT),
}
"""Metrics of the panels by the label of the y axis. The first one that a run has is drawn."""


def overlaid_curves(trained: Mapping[str, StageData], colours: Mapping[str, str]) -> list[Plot]:
    """Returns one panel for each metric with the lines of all runs that have it.

    Losses of different kinds have different scales, so each kind has a panel.

    Args:
        trained: The last train stage of each run by the run's name; at most `MOST`.
        colours: The colour of each run by name.
    """
    panels: dict[str, dict[str, Curve]] = {}
    for name, stage in trained.items():
        if "train/loss" in stage.curves:
            unit = f"{stage.loss} loss{' (nats)' if stage.loss in NATS else ''}".strip()
            panels.setdefault(unit, {})[name] = stage.curves["train/loss"]
    for unit, metrics in SHARED.items():
        for name, stage in trained.items():
            metric = next((metric for metric in metrics if metric in stage.curves), None)
            if metric:
                panels.setdefault(unit, {})[name] = stage.curves[metric]
    return [_panel(unit, curves, colours) for unit, curves in panels.items()]


def _panel(unit: str, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> Plot:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, whole in curves.items():
            curve = thin_curve(whole)
            axes.plot(
                list(curve), list(curve.values()), color=colours[name], linewidth=1.3, label=name
            )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit.replace(", ", ",\n"))
        figure.legend(loc="outside lower center", ncols=2)

    rows = -(-len(curves) // 2)
    slug = "".join(letter if letter.isalnum() else "-" for letter in unit).strip("-")
    caption = f"{unit}{thinned_text(curves.values())}"
    return Plot(f"curves-{slug}", caption, paint, WIDTH, HEIGHT + LEGEND * rows)
