"""The tables that `halo judge` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH = 110
"""Columns of a table in a file or a pipe, at least."""


def print_table(table: Any) -> None:
    """Prints a table to stdout."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(table)


def pairs_table(title: str, lines: Sequence[tuple[str, str]]) -> Any:
    """Returns a table of (what, how much) under a title."""
    found = _table(title)
    found.show_header = False
    found.add_column("", no_wrap=True)
    found.add_column("", overflow="fold")
    for what, much in lines:
        found.add_row(what, much)
    return found


def _table(title: str) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )


def rows_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Returns a table of rows whose first cell is a name and whose others are numbers.

    A column in which no row has anything but ``-`` is left out.
    """
    from rich.text import Text

    found = _table(title)
    kept = [
        place for place in range(len(header)) if not place or {row[place] for row in rows} != {"-"}
    ]
    for place in kept:
        if place:
            found.add_column(header[place], justify="right", no_wrap=True)
        else:
            found.add_column(header[place], overflow="fold", min_width=9)
    for row in rows:
        found.add_row(*(Text(row[place]) for place in kept))
    return found
