"""The judged models of a page about several runs: names, colours and win rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_report.figures.colours import SERIES, series_colours
from halo_report.read.cell_matrix import CellMatrix, Failures, JudgedCell, share_of
from halo_report.read.equal_lengths import rate_at_equal_lengths
from halo_report.read.pairwise import PairTest
from halo_statistics.intervals import Proportion


@dataclass(frozen=True)
class Contender:
    """A judged model.

    Attributes:
        name: Its name, which no other model of the page has.
        cell: Its counts, results and verdicts.
        share: Its win rate as figures show it.
        controlled: Its length-controlled win rate, or None.
        colour: Its colour in all figures.
    """

    name: str
    cell: JudgedCell
    share: Proportion
    controlled: Proportion | None
    colour: str


@dataclass(frozen=True)
class Contest:
    """The judged models of a page, and which two of them the page compares first.

    Attributes:
        all: The models in the order of the page.
        base: The model that the best one is compared with.
        best: The model with the highest win rate, or the second highest if `base` has the highest.
        tests: The tests between pairs of models.
    """

    all: Sequence[Contender]
    base: Contender
    best: Contender
    tests: Sequence[PairTest]

    @property
    def ranked(self) -> list[Contender]:
        """Returns the models by their win rates, the highest first."""
        return sorted(self.all, key=lambda one: -one.share.rate)

    def test_of(self, first: Contender, second: Contender) -> PairTest | None:
        """Returns the test of two models, if there is one."""
        pair = {id(first.cell), id(second.cell)}
        return next((t for t in self.tests if {id(t.a), id(t.b)} == pair), None)


def contest_of(
    named: Sequence[tuple[str, JudgedCell]],
    failures: Failures,
    tests: Sequence[PairTest],
    base: str | None = None,
) -> Contest | None:
    """Returns the contest of some cells, or None if fewer than two of them have a win rate.

    Args:
        named: The cells with their names.
        failures: Whether comparisons without a verdict are losses or left out.
        tests: The tests between these cells.
        base: Name of the model that the best one is compared with. None means the first one.
    """
    colours = colours_of([name for name, _ in named])
    found = [
        Contender(name, cell, share, rate_at_equal_lengths(cell), colours[name])
        for name, cell in named
        if (share := share_of(cell, failures))
    ]
    if len(found) < 2:
        return None
    first = next((one for one in found if one.name == base), found[0])
    best = max((one for one in found if one is not first), key=lambda one: one.share.rate)
    return Contest(found, first, best, tests)


def colours_of(names: Sequence[str]) -> Mapping[str, str]:
    """Returns the colour of each model. Few models have different hues, many have shades."""
    if len(names) <= len(SERIES):
        return dict(zip(names, SERIES, strict=False))
    return series_colours(names)


def named_cells(matrix: CellMatrix) -> list[tuple[str, JudgedCell]]:
    """Returns the cells of a matrix with unique names: titles of runs, else their folders."""
    cells = list(matrix.ordered())
    counts = Counter(matrix.name_of(cell) for cell in cells)
    names = [matrix.name_of(cell) for cell in cells]
    return [
        (name if counts[name] == 1 else cell.run or name, cell)
        for name, cell in zip(names, cells, strict=True)
    ]
