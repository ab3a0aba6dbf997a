"""Tables for people: plain ones that start fast, and ones by rich that fit the terminal's width."""

from __future__ import annotations

import io
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from halo_core.stage import StopFlag


PIPED_WIDTH = 160
"""Columns where the output is no terminal, so that rows stay whole in a file."""
NARROWEST = 9
"""Columns that a folded text keeps, whatever else needs room."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns rows with aligned columns, two spaces apart; without rich, which takes time to load.

    Args:
        header: Titles of the columns, printed in capitals; none for a table without.
        rows: As many cells per row as there are titles.

    >>> print(table(["name", "kind"], [["kto", "loss"]]))
    NAME  KIND
    kto   loss
    """
    lines = [[title.upper() for title in header], *rows] if header else list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def grid(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1
) -> Table:
    """Returns a table whose texts are folded where there is no room, and whose numbers never are.

    Args:
        title: The line above; "" for none.
        header: Titles of the columns.
        rows: As many cells per row as there are titles.
        texts: How many columns are texts, from the left; the others are numbers.
    """
    framed = _framed(title)
    for place, name in enumerate(header):
        if place < texts:
            framed.add_column(name, overflow="fold", min_width=NARROWEST)
        else:
            framed.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        framed.add_row(*row)
    return framed


def listing(title: str, pairs: Sequence[tuple[str, str]]) -> Table:
    """Returns a table of (what, how much), whose second column is folded where it has no room."""
    framed = _framed(title)
    framed.show_header = False
    framed.add_column(no_wrap=True)
    framed.add_column(overflow="fold")
    for what, much in pairs:
        framed.add_row(what, much)
    return framed


def _framed(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )


def drawn(*parts: RenderableType) -> str:
    """Returns tables and texts as they are shown on this terminal, a line's end behind each.

    What looks like rich's marks is text: labels have brackets.

    Args:
        parts: Tables of this module, plain texts, or rich's `Text` for those with a style.
    """
    from rich.console import Console

    written, terminal = io.StringIO(), sys.stdout.isatty()
    console = Console(
        file=written,
        width=shutil.get_terminal_size().columns if terminal else PIPED_WIDTH,
        force_terminal=terminal,
        markup=False,
        highlight=False,
    )
    for part in parts:
        console.print(part)
    return written.getvalue()


@contextmanager
def stopping(stop: StopFlag) -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop; a second Ctrl-C is one at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        click.echo(f"\n{name}: saving the state; once more to stop at once", err=True)
        stop.set(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
