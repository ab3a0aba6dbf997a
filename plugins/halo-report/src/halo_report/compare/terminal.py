"""A comparison on the terminal: tables by rich, which fit its width."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from halo_report.compare.comparison import Comparison
from halo_report.compare.spec_difference import difference_text
from halo_report.compare.texts import pairs_table, runs_table
from halo_report.comparison_page import TableView

SHOWN_DIFFERENCES = 12
PIPED_WIDTH = 160
"""Columns where the output is no terminal, so that rows stay whole in a file."""


def comparison_text(found: Comparison) -> str:
    """Returns tables, warnings, the differences of the specs and the conclusion, for people."""
    parts = [_table(runs_table(found))]
    if found.pairs:
        parts.append(_table(pairs_table(found)))
    parts += _lines("Not compared", found.left_out)
    parts += _lines("Not the same for all, so compare with care", found.unlike)
    parts += _lines("Where the specs differ", _differences(found))
    return "\n".join([*parts, found.conclusion])


def _differences(found: Comparison) -> list[str]:
    lines = [difference_text(each) for each in found.differences]
    more = len(lines) - SHOWN_DIFFERENCES
    return [*lines[:SHOWN_DIFFERENCES], f"... and {more} more, on the page"] if more > 0 else lines


def _lines(title: str, lines: Sequence[str]) -> list[str]:
    return ["\n".join([title, *(f"  {line}" for line in lines), ""])] if lines else []


def _table(view: TableView) -> str:
    table = Table(title=view.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.pad_edge, table.padding = False, (0, 1, 0, 0)
    for place, title in enumerate(view.header):
        if place < view.texts:
            table.add_column(title, overflow="fold")
        else:  # Numbers are never broken; what has no room is the titles' loss, and the names'.
            table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in view.rows:
        table.add_row(*row)
    written = io.StringIO()
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PIPED_WIDTH
    console = Console(
        file=written, width=width, force_terminal=terminal, markup=False, highlight=False
    )
    console.print(table)
    if view.note:
        console.print(view.note, style="dim" if terminal else None)
    return written.getvalue()
