"""The blocks of a run's page: win rates, lengths, stages with their time, and all numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from halo_report.figures.colours import BLUE, GREY
from halo_report.figures.curves import curve_figures
from halo_report.pages.number_text import duration_text, number_text
from halo_report.pages.page_parts import PageBlock, Range, Ranges, TableView
from halo_report.read.judged_stages import JudgedStage
from halo_report.read.run_data import RunData, StageData
from halo_statistics.intervals import Proportion
from halo_statistics.win_rate import rate_text

WIN_MARKS = {0.0: "0", 0.5: "0.5: as good", 1.0: "1"}
BIAS_COLUMNS: Mapping[str, str] = {
    "win_lc": "length-controlled (halo)",
    "length_bias": "correlation with length",
    "first_shown": "points for the first shown",
    "agreement": "orders agree",
    "flip": "flips",
}
"""Titles of the columns, by metric."""
BIAS_NOTE = (
    "A judge that does not go by the place gives the text shown first one half of the points, and "
    "both orders agree. That points go with length may be the judge's taste, or longer texts "
    "(above 0) or shorter ones (below 0) are better. The length-controlled win rate is halo's own: "
    "what a model of the verdicts expects at equal lengths."
)
COUNTS_NOTE = (
    'In brackets the interval that the stage asks for; "exact" is Clopper and Pearson\'s. In the '
    "first two readings a tie is half a win, and the exact interval is the beta quantiles at that "
    "number of points. Unscored comparisons are left out of all but the second."
)


def win_block(judged: Sequence[JudgedStage], colours: Mapping[str, str]) -> PageBlock | None:
    """Returns the block of the judged models' win rates, or None if nothing was scored.

    Args:
        judged: The judged models.
        colours: The colour of each model by name.
    """
    rows = [row for one in judged if (row := _win_row(one, colours.get(one.name, BLUE)))]
    if not rows:
        return None
    ranges = Ranges(rows, 1.0, 0.5, WIN_MARKS, ranges_legend(judged))
    rivals = ", ".join(dict.fromkeys(one.rival for one in judged))
    return PageBlock(f"Win rates against {rivals}", ranges=ranges)


def _win_row(one: JudgedStage, colour: str) -> Range | None:
    share = one.rate.main
    if share is None:
        return None
    notes = [f"n {one.rate.scored}"]
    if one.controlled:
        notes.append(f"at equal lengths {rate_text(one.controlled)}")
    if one.rate.unscored and one.rate.failures_lost:
        lost = rate_text(one.rate.failures_lost)
        notes.append(f"{one.rate.unscored} without a verdict; as losses {lost}")
    return Range(
        one.name,
        share.rate,
        share.low,
        share.high,
        rate_text(share),
        second=second_reading(one.controlled),
        note=" · ".join(notes),
        colour=colour,
    )


def second_reading(share: Proportion | None) -> tuple[float, float, float] | None:
    """Returns a second win rate with its ends as `Range.second` has it."""
    return (share.rate, share.low, share.high) if share else None


def ranges_legend(judged: Sequence[JudgedStage]) -> str:
    """Returns the sentence that says how to read the rows of win rates."""
    confidences = {f"{one.rate.interval} {one.rate.confidence * 100:g} %" for one in judged}
    diamond = any(one.controlled for one in judged)
    second = " Hollow diamond: the win rate at equal lengths." if diamond else ""
    return f"Dot: win rate; ties count half. Line: {', '.join(confidences)} interval.{second}"


def length_block(
    stages: Sequence[StageData],
    lengths: Mapping[str, Sequence[int]],
    titles: Mapping[str, str],
    colours: Mapping[str, str],
) -> PageBlock:
    """Returns the block of the completions' lengths.

    Args:
        stages: The stages of the run.
        lengths: Numbers of tokens by sampling stage or ``"target"``; at least one.
        titles: Names of the sampling stages' models, by stage.
        colours: The colour of each model by name.
    """
    ends = {s.id: s.metrics["stopped"] for s in stages if "stopped" in s.metrics}
    rows = []
    for name, counts in lengths.items():
        low, first, middle, third, high = spread(counts)
        note = f"{ends[name]:.0%} ended by themselves" if name in ends else ""
        title = titles.get(name, name)
        text = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
        colour = colours.get(title, GREY)
        rows.append(Range(title, middle, low, high, text, (first, third), None, note, colour))
    end = max(row.high for row in rows) or 1.0
    marks = {0.0: "0", end: f"{end:g} tokens"}
    legend = "Dot: median. Thick line: middle half. Thin line: 5 % to 95 %."
    return PageBlock("Lengths of the answers", ranges=Ranges(rows, end, None, marks, legend))


def spread(counts: Sequence[int]) -> tuple[float, float, float, float, float]:
    """Returns the quantiles 5 %, 25 %, 50 %, 75 % and 95 % of some numbers."""
    if len(counts) == 1:
        value = float(counts[0])
        return value, value, value, value, value
    twentieths = quantiles(counts, n=20, method="inclusive")
    return (
        twentieths[0],
        twentieths[4],
        float(median(counts)),
        twentieths[14],
        twentieths[18],
    )


def curve_blocks(stages: Sequence[StageData], last: str) -> list[PageBlock]:
    """Returns one block of curves per training; all except the last training are folded.

    Args:
        stages: The stages of the run.
        last: The id of the training to show.
    """
    drawn = {stage.id: plots for stage in stages if (plots := curve_figures(stage))}
    shown = last if last in drawn else next(reversed(drawn), "")
    order = sorted(drawn, key=lambda id_: id_ != shown)
    return [PageBlock(f"Training: {id_}", drawn[id_], folded=id_ != shown) for id_ in order]


def stages_block(run: RunData) -> PageBlock:
    """Returns the block of the stages, with the time that each of them took."""
    if not run.stages:
        return PageBlock("Stages", note="No stage has started.")
    rows = [
        [
            stage.id,
            f"{stage.use} ({stage.loss})" if stage.loss else stage.use,
            stage.status,
            _time(stage),
            stage.headline,
        ]
        for stage in run.stages
    ]
    header = ["stage", "does", "status", "time", "outcome"]
    known = [stage.seconds for stage in run.stages if stage.seconds is not None]
    note = f"Together {duration_text(sum(known))}." if known else ""
    return PageBlock("Stages", tables=[TableView("", header, rows, texts=5)], note=note)


def _time(stage: StageData) -> str:
    if stage.seconds is None:
        return "-"
    text = duration_text(stage.seconds)
    return f"{text}, in the store" if stage.status == "cached" else text


def numbers_block(run: RunData, judged: Sequence[JudgedStage]) -> PageBlock | None:
    """Returns the folded block of all final numbers, counts and biases of judges, or None."""
    tables = []
    if judged:
        tables.append(_counts_table(judged))
        rows = [[one.stage.id, *judge_biases(one.stage)] for one in judged if _has_biases(one)]
        if rows:
            header = ["stage", *BIAS_COLUMNS.values()]
            tables.append(TableView("What the judges go by", header, rows, note=BIAS_NOTE))
    numbers = [
        [stage.id, name, number_text(value)]
        for stage in run.stages
        for name, value in stage.metrics.items()
    ]
    if numbers:
        header = ["stage", "metric", "value"]
        tables.append(TableView("Final numbers of all stages", header, numbers, texts=2))
    return PageBlock("All numbers", tables=tables, folded=True) if tables else None


def _counts_table(judged: Sequence[JudgedStage]) -> TableView:
    header = ["stage", "wins", "losses", "ties", "unscored", "interval", "win rate"]
    header += ["failures as losses", "ties left out", "ties as losses"]
    rows = []
    for one in judged:
        rate = one.rate
        counts = (rate.wins, rate.losses, rate.ties, rate.unscored)
        shares = (rate.main, rate.failures_lost, rate.ties_left_out, rate.ties_lost)
        interval = f"{rate.interval} {number_text(rate.confidence * 100)} %"
        texts = [rate_text(share) if share else "none" for share in shares]
        rows.append([one.stage.id, *map(str, counts), interval, *texts])
    return TableView("Counts and win rates", header, rows, note=COUNTS_NOTE)


def _has_biases(one: JudgedStage) -> bool:
    return bool(BIAS_COLUMNS.keys() & one.stage.metrics.keys())


def judge_biases(stage: StageData) -> list[str]:
    """Returns the texts of the columns of `BIAS_COLUMNS` for a judge stage."""
    return [_metric_text(stage.metrics, name) for name in BIAS_COLUMNS]


def _metric_text(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "none"
    ends = [metrics.get(f"{name}_{end}") for end in ("lo", "hi")]
    known = [end for end in ends if end is not None]
    interval = f" [{known[0]:.3f}, {known[1]:.3f}]" if len(known) == len(ends) else ""
    return f"{metrics[name]:.3f}{interval}"
