"""The blocks of a page about cells: win rates, lengths and imbalance, with their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_report.figures.bars import length_bars, win_bars
from halo_report.figures.imbalance import imbalance_figure
from halo_report.pages.page_parts import PageBlock, TableView
from halo_report.read.cell_matrix import CellMatrix, Failures, ImbalancePoint, JudgedCell, share_of
from halo_report.read.pairwise import PairTest, pair_fields, pair_test, with_holm
from halo_statistics.intervals import Proportion
from halo_statistics.significance import p_text

SIGNIFICANT = 0.05
READING = {
    "lost": "comparisons without a verdict count as losses",
    "left out": "comparisons without a verdict are left out",
}


def win_block(matrix: CellMatrix, tests: Sequence[PairTest]) -> PageBlock | None:
    """Returns the block of win rates with counts, intervals and tests; None without win rates."""
    plot = win_bars(matrix)
    if plot is None:
        return None
    tables = [wins_table(matrix)] if len(matrix.series) > 1 else []
    tables += [counts_table(matrix), *([tests_table(matrix, tests)] if tests else [])]
    note = f"Ties are half points; in the bars, {READING[matrix.failures]}."
    return PageBlock("Win rates", [plot], tables, note)


def wins_table(matrix: CellMatrix) -> TableView:
    """Returns a table of the wins: one row per column of the figure, one column per series."""
    rows = [
        [matrix.label(x), *(_wins(matrix.cells.get((x, series))) for series in matrix.series)]
        for x in matrix.xs
    ]
    totals = {cell.rate.total for cell in matrix.cells.values() if cell.rate}
    of = f" of {totals.pop()}" if len(totals) == 1 else ""
    return TableView(f"Wins{of}", [matrix.x_axis, *map(matrix.label, matrix.series)], rows)


def _wins(cell: JudgedCell | None) -> str:
    if cell is None:
        return ""
    return str(cell.rate.wins) if cell.rate else cell.status


def counts_table(matrix: CellMatrix) -> TableView:
    """Returns the table of counts and intervals, with failures counted both ways."""
    return TableView(
        "Counts and exact 90 % intervals, of win rate - 0.5",
        [
            *_axis_titles(matrix),
            *("wins", "losses", "ties", "no verdict", "failures as losses", "failures left out"),
        ],
        [[*row_names(matrix, cell), *_counts(cell)] for cell in matrix.ordered()],
        texts=2 if matrix.series_axis else 1,
        folded=len(matrix.cells) > 24,
        note="In brackets the Clopper-Pearson interval.",
    )


def _counts(cell: JudgedCell) -> list[str]:
    if cell.rate is None:
        return ["-", "-", "-", "-", cell.status, cell.status]
    rate = cell.rate
    counts = (rate.wins, rate.losses, rate.ties, rate.unscored)
    shares = (share_of(cell, "lost"), share_of(cell, "left out"))
    return [*map(str, counts), *map(above_half, shares)]


def above_half(share: Proportion | None) -> str:
    """Returns win rate - 0.5 and its interval in the report's form; "none" without a win rate."""
    if share is None:
        return "none"
    rate, low, high = (value - 0.5 for value in (share.rate, share.low, share.high))
    return f"{rate:+.4f} [{low:+.4f}, {high:+.4f}]"


def tests_table(matrix: CellMatrix, tests: Sequence[PairTest]) -> TableView:
    """Returns the table of pairwise tests of one figure."""
    differ = sum(test.p_holm < SIGNIFICANT for test in tests)
    where = f" at the same {matrix.series_axis}" if matrix.series_axis else ""
    return TableView(
        f"Pairs{where}: {differ} of {len(tests)} differ at {SIGNIFICANT} after Holm's correction",
        [
            *([matrix.series_axis] if matrix.series_axis else []),
            *(
                "first",
                "second",
                "test",
                "n",
                "difference",
                "p",
                "p (Holm)",
                "p (failures the other way)",
            ),
        ],
        [_test_row(matrix, test) for test in tests],
        texts=4 if matrix.series_axis else 3,
        folded=len(tests) > 12,
        note="Fisher's exact test compares the numbers of wins; a tie does not count as a win. "
        "McNemar's exact test is used if both were judged on the same prompts. Both are two-sided. "
        "Holm's correction is for all tests of this table.",
    )


def _test_row(matrix: CellMatrix, test: PairTest) -> list[str]:
    series = [matrix.label(test.a.series)] if matrix.series_axis else []
    numbers = (p_text(test.p), p_text(test.p_holm), p_text(test.p_other))
    pair = [matrix.label(test.a.x), matrix.label(test.b.x), test.test]
    return [*series, *pair, str(test.n), f"{test.difference:+.4f}", *numbers]


def length_block(matrix: CellMatrix) -> PageBlock | None:
    """Returns the block of lengths with their table, or None if no lengths are known."""
    plot = length_bars(matrix)
    if plot is None:
        return None
    rows = [[*row_names(matrix, cell), *_lengths(cell)] for cell in matrix.ordered()]
    table = TableView(
        "Tokens per completion",
        [*_axis_titles(matrix), "median", "mean"],
        rows,
        texts=2 if matrix.series_axis else 1,
        folded=len(rows) > 24,
    )
    return PageBlock("Output lengths", [plot], [table])


def _lengths(cell: JudgedCell) -> list[str]:
    if cell.lengths is None:
        return ["-", "-"]
    median = cell.lengths.median
    return ["not known" if median is None else f"{median:g}", f"{cell.lengths.mean:.1f}"]


def _axis_titles(matrix: CellMatrix) -> list[str]:
    return [matrix.series_axis, matrix.x_axis] if matrix.series_axis else [matrix.x_axis]


def row_names(matrix: CellMatrix, cell: JudgedCell) -> list[str]:
    """Returns the first columns of a cell's row in a table."""
    x = matrix.label(cell.x)
    return [matrix.label(cell.series), x] if matrix.series_axis else [x]


def imbalance_tests(
    points: Sequence[ImbalancePoint], lines: Mapping[str, JudgedCell], failures: Failures
) -> dict[tuple[int, str], PairTest]:
    """Returns the tests of every cell of the curves against every line, as one family.

    The keys are the cell's position in `points` and the line's label.

    Args:
        points: The points of the curves.
        lines: The cells of the horizontal lines, by label.
        failures: Whether comparisons without a verdict are losses or left out.
    """
    places = {
        (place, name): (id(point.cell), name)
        for place, point in enumerate(points)
        for name, cell in lines.items()
        if share_of(point.cell, failures) and share_of(cell, failures)
    }
    # A cell at the end of both curves is tested once, so that the correction counts it once.
    pairs = {key: (points[place].cell, lines[name]) for (place, name), key in places.items()}
    family = with_holm([pair_test(*pair, failures) for pair in pairs.values()])
    tests = dict(zip(pairs, family, strict=True))
    return {place: tests[key] for place, key in places.items()}


def imbalance_fields(
    points: Sequence[ImbalancePoint],
    lines: Mapping[str, JudgedCell],
    failures: Failures,
    counts: Callable[[JudgedCell], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Returns the curves as `--json` prints them: each cell's counts and tests.

    Args:
        points: The points of the curves.
        lines: The cells of the horizontal lines, by label.
        failures: Whether comparisons without a verdict are losses or left out.
        counts: Function that returns the fields of a cell's counts.
    """
    tests = imbalance_tests(points, lines, failures)
    return [
        {
            "data": point.side,
            "fraction": point.fraction,
            **counts(point.cell),
            "against": [
                {"line": line, **pair_fields(test)}
                for (own, line), test in tests.items()
                if own == place
            ],
        }
        for place, point in enumerate(points)
    ]


def imbalance_block(
    points: Sequence[ImbalancePoint], lines: Mapping[str, JudgedCell], failures: Failures
) -> PageBlock | None:
    """Returns the block of the curve with counts, intervals and tests against lines, or None."""
    plot = imbalance_figure(points, lines, failures)
    if plot is None:
        return None
    points = sorted(points, key=lambda point: (point.side, point.fraction))
    tests = imbalance_tests(points, lines, failures)
    rows = []
    for place, point in enumerate(points):
        p_values = [_p_values(tests.get((place, name))) for name in lines]
        rows.append([point.side, f"{point.fraction:g}", *_point_counts(point.cell), *p_values])
    rows += [
        ["line", name, *_point_counts(cell), *["-"] * len(lines)] for name, cell in lines.items()
    ]
    table = TableView(
        "Counts, exact 90 % intervals of win rate - 0.5, and tests against the lines",
        [
            *("data", "kept", "wins", "n", "no verdict", "failures as losses"),
            *("failures left out", *(f"p against {name} (Holm)" for name in lines)),
        ],
        rows,
        note="Two-sided; in brackets the p-value after Holm's correction for all tests of this "
        "table.",
    )
    note = f"Ties are half points; in the figure, {READING[failures]}."
    return PageBlock("Imbalanced data", [plot], [table], note)


def _p_values(test: PairTest | None) -> str:
    return f"{p_text(test.p)} ({p_text(test.p_holm)})" if test else "-"


def _point_counts(cell: JudgedCell) -> list[str]:
    if cell.rate is None:
        return ["-", "-", "-", cell.status, cell.status]
    rate = cell.rate
    shares = (share_of(cell, "lost"), share_of(cell, "left out"))
    return [str(rate.wins), str(rate.total), str(rate.unscored), *map(above_half, shares)]
