"""Writes a comparison for the terminal, as tables that fit its width."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.cli.terminal import drawn, grid
from halo_core.overview.spec_difference import difference_text
from halo_core.printing import Drawn
from halo_report.compare.comparison_tables import pairs_table, runs_table
from halo_report.compare.run_comparison import RunComparison
from halo_report.pages.page_parts import TableView

SHOWN = 12
"""Number of lines of a list in the terminal. The page has all."""


def comparison_text(comparison: RunComparison) -> str:
    """Returns the tables, warnings, differences of the specs and the conclusion as text."""
    parts = [_table(runs_table(comparison))]
    if comparison.pairs:
        parts.append(_table(pairs_table(comparison)))
    parts += _lines("Not compared", _first(comparison.left_out))
    parts += _lines("Not known", comparison.unknown)
    parts += _lines("Not the same for all, so compare with care", comparison.unlike)
    differences = [difference_text(difference) for difference in comparison.differences]
    parts += _lines("Where the specs differ", _first(differences))
    return Drawn.joined([*parts, comparison.conclusion])


def _first(lines: Sequence[str]) -> Sequence[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"... and {more} more, on the page"] if more > 0 else lines


def _lines(title: str, lines: Sequence[str]) -> list[str]:
    return ["\n".join([title, *(f"  {line}" for line in lines), ""])] if lines else []


def _table(view: TableView) -> str:
    from rich.text import Text

    # Titles are broken at their spaces, so that columns of numbers are as narrow as the numbers.
    numbers = [title.replace(" ", "\n") for title in view.header[view.texts :]]
    header = [*view.header[: view.texts], *numbers]
    table = grid(view.title, header, view.rows, texts=view.texts)
    return drawn(table, *([Text(view.note, style="dim")] if view.note else []), "")
