"""One figure over all rounds: win rates by round, and curves over the steps of all rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from halo_report.figures.colours import MEANINGS, SERIES
from halo_report.figures.curves import KL, NATS, REFERENCE_POINT, thin_curve, thinned_text
from halo_report.figures.method_curves import LOSING, PANEL_HEIGHT, PANELS
from halo_report.figures.plot import INK, LEGEND, WIDTH, Plot
from halo_report.read.rounds import JudgedRounds, TrainedRounds
from halo_report.read.run_data import Curve

WIN_RATE = "win rate"


def rounds_figure(judged: Sequence[JudgedRounds], trained: Sequence[TrainedRounds]) -> Plot | None:
    """Returns the figure of a run's rounds, or None if there is nothing to draw yet.

    The first panel has the win rate after each round with its interval. The others have the curves
    of the last training of a round; a dotted line is the beginning of a round.

    Args:
        judged: The win rates, one line each.
        trained: The trainings of the rounds.
    """
    training = trained[-1] if trained else None
    panels = _panels(training)
    if not judged and not panels:
        return None

    def paint(figure: Figure) -> None:
        count = bool(judged) + len(panels)
        column = list(figure.subplots(count, 1, squeeze=False)[:, 0])
        if judged:
            _win_rates(column.pop(0), {one.name: one for one in judged})
        for axes, (unit, names) in zip(column, panels.items(), strict=True):
            assert training is not None
            _curves(axes, training, unit, names)

    caption = _caption(judged, training, panels)
    height = PANEL_HEIGHT * (bool(judged) + len(panels)) + LEGEND
    return Plot("rounds", caption, paint, WIDTH, height)


def compared_rounds_figure(
    judged: Mapping[str, JudgedRounds], trained: Mapping[str, TrainedRounds]
) -> Plot | None:
    """Returns the figure of several runs: win rates by round and the KL; None for no rounds.

    Args:
        judged: The win rates of each run by its label.
        trained: The last training of the rounds of each run by its label.
    """
    labels = list(dict.fromkeys([*judged, *trained]))
    colours = dict(zip(labels, SERIES * len(labels), strict=False))
    kls = {label: one for label, one in trained.items() if _kl(one)}
    if not judged and not kls:
        return None

    def paint(figure: Figure) -> None:
        column = list(figure.subplots(bool(judged) + bool(kls), 1, squeeze=False)[:, 0])
        if judged:
            _win_rates(column.pop(0), judged, colours)
        for axes in column:
            for label, one in kls.items():
                curve = broken_curve(one.curves[_kl(one)], one.begins)
                axes.plot(list(curve), list(curve.values()), color=colours[label], label=label)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.set_xlabel("optimiser step of all rounds")
            axes.set_ylabel("KL estimate (nats)")
            if not judged:
                axes.legend(fontsize="small")

    caption = "Win rates after each round with their intervals" if judged else ""
    if kls:
        caption += "; " * bool(caption) + "KL to the reference of each round"
        caption += thinned_text([one.curves[_kl(one)] for one in kls.values()])
    height = PANEL_HEIGHT * (bool(judged) + bool(kls)) + LEGEND * (1 + len(labels) // 2)
    return Plot("rounds", caption, paint, WIDTH, height)


def broken_curve(curve: Curve, begins: Mapping[int, int]) -> dict[float, float]:
    """Returns a curve with a gap before each round, where the numbers begin again.

    Args:
        curve: Values by the step of all rounds. About as many as in other figures are returned.
        begins: The number of steps before each round.
    """
    points: dict[float, float] = {begin + 0.5: nan for begin in begins.values() if begin}
    points.update({float(step): value for step, value in thin_curve(curve).items()})
    return dict(sorted(points.items()))


def _kl(one: TrainedRounds) -> str:
    return next((name for name in (KL, REFERENCE_POINT) if name in one.curves), "")


def _panels(training: TrainedRounds | None) -> dict[str, Sequence[str]]:
    if training is None:
        return {}
    found = {
        unit: [name for name in names if name in training.curves] for unit, names in PANELS.items()
    }
    return {unit: names for unit, names in found.items() if names}


def _win_rates(
    axes: Axes, judged: Mapping[str, JudgedRounds], colours: Mapping[str, str] | None = None
) -> None:
    axes.axhline(0.5, color=INK, linewidth=0.6)
    for place, (label, one) in enumerate(judged.items()):
        shares = {number: stage.rate.main for number, stage in one.judged.items()}
        known = {number: share for number, share in shares.items() if share is not None}
        rates = [share.rate for share in known.values()]
        reach = [
            [share.rate - share.low for share in known.values()],
            [share.high - share.rate for share in known.values()],
        ]
        colour = colours[label] if colours else SERIES[place % len(SERIES)]
        axes.errorbar(
            list(known),
            rates,
            yerr=reach,
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.3,
            elinewidth=0.9,
            label=label,
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel("round (0: before the first)")
    axes.set_ylabel(WIN_RATE)
    if len(judged) > 1:
        axes.legend(fontsize="small")


def _curves(axes: Axes, training: TrainedRounds, unit: str, names: Sequence[str]) -> None:
    for number, begin in training.begins.items():
        if number > 1:
            axes.axvline(begin + 0.5, color=INK, linewidth=0.6, linestyle=":")
    for place, name in enumerate(names):
        short = name.rpartition("/")[2].replace("_", " ")
        curve = broken_curve(training.curves[name], training.begins)
        style = "--" if name in LOSING or name == REFERENCE_POINT else "-"
        colour = MEANINGS.get(short, SERIES[place % len(SERIES)])
        axes.plot(
            list(curve), list(curve.values()), style, color=colour, linewidth=1.2, label=short
        )
    losses = {stage.loss for stage in training.stages.values()}
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_xlabel("optimiser step of all rounds")
    axes.set_ylabel(f"{unit} (nats)" if unit == "loss" and losses <= NATS else unit)
    if len(names) > 1:
        axes.legend(fontsize="small")


def _caption(
    judged: Sequence[JudgedRounds],
    training: TrainedRounds | None,
    panels: Mapping[str, Sequence[str]],
) -> str:
    parts = []
    if judged:
        stages = [stage for one in judged for stage in one.judged.values()]
        rates = {(stage.rate.interval, stage.rate.confidence) for stage in stages}
        kinds = ", ".join(f"{kind} {level * 100:g} %" for kind, level in sorted(rates))
        parts.append(f"Win rates after each round with {kinds} intervals")
    if training is not None and panels:
        curves = [training.curves[name] for names in panels.values() for name in names]
        part = f"{training.name}: the steps of all rounds; a dotted line begins a round"
        parts.append(part + thinned_text(curves))
    return ". ".join(parts)
