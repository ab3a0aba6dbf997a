"""The block of a page with the imbalance curve and its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_report.comparison_page import Block, TableView
from halo_report.imbalance import KeptCell, imbalance_figure
from halo_report.matrix import Cell, Failures, share_of
from halo_report.matrix_blocks import READING, above_half
from halo_report.matrix_json import pair_fields
from halo_report.pairwise import PairTest, compare, corrected
from halo_statistics.significance import p_text


def kept_tests(
    kept: Sequence[KeptCell], lines: Mapping[str, Cell], failures: Failures
) -> dict[tuple[int, str], PairTest]:
    """Returns the tests of every cell of the curves against every line: one family.

    The keys are the cell's place in `kept`, and the line.

    Args:
        kept: The cells of the curves.
        lines: Label to the cell of a horizontal line.
        failures: How comparisons without a verdict count.
    """
    places = {
        (place, name): (id(each.cell), name)
        for place, each in enumerate(kept)
        for name, cell in lines.items()
        if share_of(each.cell, failures) and share_of(cell, failures)
    }
    # A cell that ends both curves is tested once.
    pairs = {key: (kept[place].cell, lines[name]) for (place, name), key in places.items()}
    tests = corrected([compare(*pair, failures) for pair in pairs.values()])
    found = dict(zip(pairs, tests, strict=True))
    return {place: found[key] for place, key in places.items()}


def imbalance_fields(
    kept: Sequence[KeptCell],
    lines: Mapping[str, Cell],
    failures: Failures,
    counts: Callable[[Cell], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Returns the curves as `--json` has them: each cell's counts, and its tests.

    Args:
        kept: The cells of the curves.
        lines: Label to the cell of a horizontal line.
        failures: How comparisons without a verdict count.
        counts: What is said of a cell besides.
    """
    tests = kept_tests(kept, lines, failures)
    return [
        {
            "data": each.side,
            "fraction": each.fraction,
            **counts(each.cell),
            "against": [
                {"line": line, **pair_fields(test)}
                for (own, line), test in tests.items()
                if own == place
            ],
        }
        for place, each in enumerate(kept)
    ]


def imbalance_block(
    kept: Sequence[KeptCell], lines: Mapping[str, Cell], failures: Failures
) -> Block | None:
    """Returns the curve with counts, intervals and tests against the lines, or None."""
    plot = imbalance_figure(kept, lines, failures)
    if plot is None:
        return None
    kept = sorted(kept, key=lambda each: (each.side, each.fraction))
    tests = kept_tests(kept, lines, failures)
    rows = []
    for place, each in enumerate(kept):
        told = [_tested(tests.get((place, name))) for name in lines]
        rows.append([each.side, f"{each.fraction:g}", *_counts(each.cell), *told])
    rows += [["line", name, *_counts(cell), *["-"] * len(lines)] for name, cell in lines.items()]
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
    return Block("Imbalanced data", [plot], [table], note)


def _tested(test: PairTest | None) -> str:
    return f"{p_text(test.p)} ({p_text(test.p_holm)})" if test else "-"


def _counts(cell: Cell) -> list[str]:
    if cell.rate is None:
        return ["-", "-", "-", cell.status, cell.status]
    rate = cell.rate
    shares = (share_of(cell, "lost"), share_of(cell, "left out"))
    return [str(rate.wins), str(rate.total), str(rate.unscored), *map(above_half, shares)]
