"""Lengths of the completions of each sampling stage and of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes

from halo_report.figures.colours import SERIES
from halo_report.figures.plot import Plot, on_axes
from halo_report.read.run_data import StageData

TARGET = "target"


def completion_lengths(stages: Sequence[StageData]) -> dict[str, list[int]]:
    """Returns the number of tokens of each completion, by stage id or ``"target"``.

    The target of a prompt that several stages sampled is counted once.
    """
    lengths: dict[str, list[int]] = {}
    targets: dict[str, int] = {}
    for stage in stages:
        if stage.samples:
            lengths[stage.id] = [sample["tokens"] for sample in stage.samples]
        for sample in stage.samples:
            tokens = sample.get("target_tokens")
            if tokens is not None:
                targets.setdefault(sample["prompt_id"], tokens)
    return {**lengths, TARGET: list(targets.values())} if targets else lengths


def lengths_figure(lengths: Mapping[str, Sequence[int]]) -> Plot | None:
    """Returns one box per stage with quartiles and whiskers from 5 % to 95 %; None if empty."""
    if not lengths:
        return None

    def paint(axes: Axes) -> None:
        boxes = axes.boxplot(
            [list(counts) for counts in lengths.values()],
            orientation="horizontal",
            tick_labels=[f"{id_} (median {median(c):g})" for id_, c in lengths.items()],
            whis=(5, 95),
            widths=0.5,
            showfliers=False,
            patch_artist=True,
            medianprops={"linewidth": 1.6},
        )
        for box, colour in zip(boxes["boxes"], SERIES * len(lengths), strict=False):
            box.set(facecolor=colour, alpha=0.55, linewidth=0.6)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("tokens per completion (box: middle half; whiskers: 5 % to 95 %)")

    return Plot("lengths", "Lengths", on_axes(paint), 6.2, 1.0 + 0.42 * len(lengths))
