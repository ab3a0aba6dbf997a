"""Figures of what a train stage logged over its steps."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from halo_report.palette import MEANINGS, SERIES
from halo_report.plot import Plot, on_axes
from halo_report.run_data import Curve, StageData

WIDTH, HEIGHT = 3.6, 2.3
"""In inches of 72 points."""
FEW = 30
"""Curves of so few points show the points."""

NATS = frozenset({"sft", "dpo"})
"""Losses that are negative log-probabilities."""


def curve_figures(stage: StageData) -> list[Plot]:
    """Returns the figures of what a stage logged over its steps."""
    figures = (loss_figure(stage), rewards_figure(stage), reference_point_figure(stage))
    return [figure for figure in figures if figure]


def loss_figure(stage: StageData) -> Plot | None:
    """Returns the loss in training and evaluation over the steps, or None without one."""
    unit = " (nats)" if stage.loss in NATS else ""
    names = {"train/loss": "train"}
    for name in stage.curves:
        if name.startswith("eval/") and name.endswith("/loss"):
            names[name] = name.removesuffix("/loss").removeprefix("eval/")
    return _figure(stage, "loss", _pick(stage, names), f"{stage.loss} loss{unit}".strip())


def rewards_figure(stage: StageData) -> Plot | None:
    """Returns the rewards of both sides over the steps, or None without any."""
    sides = ("desirable", "undesirable", "chosen", "rejected")
    curves = _pick(stage, {f"rewards/{side}": side for side in sides})
    return _figure(
        stage, "rewards", curves, "implied reward (beta x nats)", "implied rewards", zero=True
    )


def reference_point_figure(stage: StageData) -> Plot | None:
    """Returns the reference point over the steps, or None without one."""
    curves = _pick(stage, {"policy/reference_point": "reference point"})
    return _figure(stage, "reference point", curves, "reference point (nats)", zero=True)


def _pick(stage: StageData, names: Mapping[str, str]) -> dict[str, Curve]:
    return {label: stage.curves[name] for name, label in names.items() if name in stage.curves}


def _figure(
    stage: StageData,
    name: str,
    curves: Mapping[str, Curve],
    unit: str,
    caption: str = "",
    *,
    zero: bool = False,
) -> Plot | None:
    if not curves:
        return None

    def paint(axes: Axes) -> None:
        if zero:
            axes.axhline(0, color="#888888", linewidth=0.8)
        for (label, curve), colour in zip(curves.items(), SERIES * len(curves), strict=False):
            axes.plot(
                list(curve),
                list(curve.values()),
                color=MEANINGS.get(label, colour),
                linewidth=1.4,
                marker="o" if len(curve) <= FEW else None,
                markersize=3,
                label=label,
            )
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit)
        if len(curves) > 1:
            axes.legend()

    caption = f"{stage.id}: {caption or name}"
    return Plot(f"{stage.id} {name}", caption, on_axes(paint), WIDTH, HEIGHT)
