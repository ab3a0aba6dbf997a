"""Learning curves over the steps, for one stage or for several methods side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from halo_report.figures.colours import BLUE, MEANINGS, SERIES, VERMILION
from halo_report.figures.plot import HEIGHT, INK, LEGEND, WIDTH, Plot, on_axes
from halo_report.read.run_data import Curve, StageData

FEW = 30
"""Largest number of points of a curve at which the points are marked."""

KL, REFERENCE_POINT = "policy/kl", "policy/reference_point"
USED = "reference point"
CLIPPED = 1e-6
"""Smallest difference of reference point and estimate that counts as clipped, in nats."""
NATS = frozenset({"sft", "dpo"})
"""Losses whose unit is nats, because they are negative log-probabilities."""
POINTS = 300
"""Approximate number of points to which longer curves are reduced."""


def curve_figures(stage: StageData) -> list[Plot]:
    """Returns the figures of the metrics that a stage logged over its steps."""
    figures = (loss_figure(stage), rewards_figure(stage), kl_figure(stage))
    return [figure for figure in figures if figure]


def loss_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the training and evaluation loss, or None without a loss."""
    unit = " (nats)" if stage.loss in NATS else ""
    names = {"train/loss": "train"}
    for name in stage.curves:
        if name.startswith("eval/") and name.endswith("/loss"):
            names[name] = name.removesuffix("/loss").removeprefix("eval/")
    return _figure(stage, "loss", _pick(stage, names), f"{stage.loss} loss{unit}".strip())


def rewards_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the rewards of both sides, or None without rewards."""
    sides = ("desirable", "undesirable", "chosen", "rejected")
    curves = _pick(stage, {f"rewards/{side}": side for side in sides})
    return _figure(
        stage, "rewards", curves, "implied reward (beta x nats)", "implied rewards", zero=True
    )


def kl_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the estimate of the KL, with what was clipped at 0; None without it.

    A point is the mean of several steps, of which some may be clipped. So the filled area is the
    difference between the reference point and the estimate, above and below 0.
    """
    estimate, used = stage.curves.get(KL), stage.curves.get(REFERENCE_POINT)
    if not estimate or not used:
        curves = _pick(stage, {KL: "KL estimate", REFERENCE_POINT: "reference point"})
        return _figure(stage, "reference point", curves, "reference point (nats)", zero=True)
    shared = [step for step in estimate if step in used]
    clipped = sum(used[step] - estimate[step] > CLIPPED for step in shared)

    def paint(axes: Axes) -> None:
        axes.axhline(0, color="#888888", linewidth=0.8)
        both = list(thin_curve(dict.fromkeys(shared, 0.0)))
        axes.fill_between(
            both,
            [estimate[step] for step in both],
            [used[step] for step in both],
            color=VERMILION,
            alpha=0.35,
            linewidth=0,
            label="clipped at 0",
        )
        line, dashed = thin_curve(estimate), thin_curve(used)
        axes.plot(list(dashed), list(dashed.values()), "--", color=INK, linewidth=1.1, label=USED)
        axes.plot(list(line), list(line.values()), color=BLUE, linewidth=1.4, label="estimate")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("KL estimate (nats)")
        axes.figure.legend(loc="outside lower center", ncols=3)

    caption = f"{stage.id}: KL estimate, clipped at 0 in {clipped} of {len(shared)} points"
    caption += thinned_text([estimate])
    return Plot(f"{stage.id} kl", caption, on_axes(paint), WIDTH, HEIGHT + LEGEND)


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
        for (label, whole), colour in zip(curves.items(), SERIES * len(curves), strict=False):
            curve = thin_curve(whole)
            axes.plot(
                list(curve),
                list(curve.values()),
                color=MEANINGS.get(label, colour),
                linewidth=1.4,
                marker="o" if len(curve) <= FEW else None,
                markersize=3,
                label=label,
            )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit)
        if len(curves) > 1:
            axes.figure.legend(loc="outside lower center", ncols=3)

    caption = f"{stage.id}: {caption or name}{thinned_text(curves.values())}"
    # All panels have the same height, so that a row of them is even.
    return Plot(f"{stage.id} {name}", caption, on_axes(paint), WIDTH, HEIGHT + LEGEND)


def thinned_text(curves: Iterable[Curve]) -> str:
    """Returns the part of a caption that says how many points are drawn; "" if all are."""
    longest = max(curves, key=len)
    drawn = len(thin_curve(longest))
    return f"; {drawn} of {len(longest)} points are drawn" if drawn < len(longest) else ""


def thin_curve(curve: Curve) -> Curve:
    """Returns about `POINTS` evenly spaced points of a curve, including the last one."""
    stride = max(1, len(curve) // POINTS)
    points = list(curve.items())
    return dict([*points[:-1:stride], *points[-1:]])
