"""The block about the rounds of a run, or of several runs side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from halo_report.figures.curves import KL
from halo_report.figures.round_curves import compared_rounds_figure, rounds_figure
from halo_report.pages.number_text import number_text
from halo_report.pages.page_parts import PageBlock, TableView
from halo_report.read.judged_stages import JudgedStage, judged_stages
from halo_report.read.rounds import JudgedRounds, TrainedRounds, judged_rounds, trained_rounds
from halo_report.read.run_data import RunData, StageData
from halo_statistics.win_rate import rate_text

NONE = "-"


def rounds_block(stages: Sequence[StageData], judged: Sequence[JudgedStage]) -> PageBlock | None:
    """Returns the block of a run's rounds: one figure and one table; None without rounds.

    Args:
        stages: The stages of the run.
        judged: The judged models of the run.
    """
    rates, trained = judged_rounds(stages, judged), trained_rounds(stages)
    figure = rounds_figure(rates, trained)
    if figure is None:
        return None
    return PageBlock("Rounds", [figure], tables=[_table(rates, trained)])


def compared_rounds_block(runs: Iterable[RunData]) -> PageBlock | None:
    """Returns the block of the rounds of several runs; None if no run has rounds.

    Args:
        runs: The runs. One that is given twice is drawn once.
    """
    unique = list({run.folder: run for run in runs}.values())
    titles = Counter(run.title for run in unique)
    judged: dict[str, JudgedRounds] = {}
    trained: dict[str, TrainedRounds] = {}
    for run in unique:
        label = run.title if run.title and titles[run.title] == 1 else run.name
        rates = judged_rounds(run.stages, judged_stages(run.stages))
        trainings = trained_rounds(run.stages)
        # One line per run: the first judge and the last training, as on most pages.
        judged |= {label: rates[0]} if rates else {}
        trained |= {label: trainings[-1]} if trainings else {}
    figure = compared_rounds_figure(judged, trained)
    return PageBlock("Rounds", [figure]) if figure else None


def _table(rates: Sequence[JudgedRounds], trained: Sequence[TrainedRounds]) -> TableView:
    training = trained[-1] if trained else None
    numbers = {number for one in rates for number in one.judged}
    numbers |= training.stages.keys() if training else set()
    columns = [
        *((f"win rate ({one.name})", _rates(one)) for one in rates),
        ("answers' median length", _lengths(rates)),
        ("KL at the end", _last(training, KL)),
        ("loss at the end", _last(training, "train/loss")),
    ]
    shown = [(title, column) for title, column in columns if column]
    rows = [
        [str(number), *(column.get(number, NONE) for _, column in shown)]
        for number in sorted(numbers)
    ]
    note = "Round 0 is the model that the first round starts from." if 0 in numbers else ""
    header = ["round", *(title for title, _ in shown)]
    return TableView("Numbers by round", header, rows, note=note)


def _rates(one: JudgedRounds) -> dict[int, str]:
    shares = {number: stage.rate.main for number, stage in one.judged.items()}
    return {number: rate_text(share) for number, share in shares.items() if share is not None}


def _lengths(rates: Sequence[JudgedRounds]) -> dict[int, str]:
    stages = {number: one.stage for judged in rates for number, one in judged.judged.items()}
    return {n: number_text(s.metrics["len"]) for n, s in stages.items() if "len" in s.metrics}


def _last(training: TrainedRounds | None, metric: str) -> dict[int, str]:
    curves = {n: s.curves.get(metric) for n, s in training.stages.items()} if training else {}
    return {n: number_text(curve[max(curve)]) for n, curve in curves.items() if curve}
