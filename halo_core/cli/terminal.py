"""Tables for people: fast plain ones, and ones made by rich that fit the terminal's width."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from textwrap import wrap
from types import FrameType
from typing import TYPE_CHECKING

from click import style

from halo_core.printing import Drawn, leave_closed_terminal, say, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from halo_core.stage import StopFlag


PIPED_WIDTH = 160
"""Number of columns if the output is not a terminal, so that rows stay whole in a file."""
GAP = 2
"""Number of columns between two columns of a table."""
NARROWEST = 9
"""Number of columns that a folded text keeps, whatever else needs room."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns rows with aligned columns, two spaces apart. Does not load rich, which is slow.

    Args:
        header: Titles of the columns, printed in capitals; empty for a table without titles.
        rows: Rows with as many cells as there are titles.

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


def hanging(label: str, text: str) -> str:
    """Returns a label and a text, which is folded below itself if the terminal is too narrow.

    Without a terminal, it stays one line.

    Args:
        label: The label, with the spaces around it.
        text: The text.
    """
    if not sys.stdout.isatty():
        return label + text
    room = max(NARROWEST, shutil.get_terminal_size().columns - len(label))
    return label + f"\n{' ' * len(label)}".join(wrap(text, room, break_on_hyphens=False))


def grid(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1
) -> Table:
    """Returns a table that folds its texts when there is no room, but never its numbers.

    Args:
        title: The line above the table; "" for none.
        header: Titles of the columns.
        rows: Rows with as many cells as there are titles.
        texts: Number of text columns, counted from the left. The others are numbers.
    """
    framed = _framed(title)
    for place, name in enumerate(header):
        if place < texts:
            framed.add_column(name, overflow="fold", min_width=NARROWEST)
        else:
            framed.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        framed.add_row(*map(visible, row))
    return framed


def fitting(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of texts as a plain table, or as a folded one if the terminal is too narrow."""
    plain = table(header, rows)
    longest = max(map(len, plain.splitlines()))
    if not sys.stdout.isatty() or longest <= shutil.get_terminal_size().columns:
        return plain
    return drawn(grid("", [title.upper() for title in header], rows, texts=len(header))).rstrip()


def listing(title: str, pairs: Sequence[tuple[str, str]]) -> Table:
    """Returns a table of names and values, which folds the values when there is no room."""
    framed = _framed(title)
    framed.show_header = False
    framed.add_column(no_wrap=True)
    framed.add_column(overflow="fold")
    for what, much in pairs:
        framed.add_row(visible(what), visible(much))
    return framed


def _framed(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(visible(title), style="bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )


class Paint:
    """Colours parts of lines, in which all other control characters are shown as text.

    Args:
        colours: Names of click's colours by part.
    """

    def __init__(self, colours: Mapping[str, str]) -> None:
        self._colours = colours
        # Data cannot contain the mark, because nobody knows it before.
        self._mark = token_hex(16)

    def part(self, text: str, part: str) -> str:
        """Returns a text with marks around it, for `line`."""
        return f"{self._mark}{part}<{text}{self._mark}>"

    def line(self, text: str) -> Drawn:
        """Returns a line, in which the marks are replaced by colours."""
        shown = visible(text).replace(f"{self._mark}>", style("", reset=True))
        for part, colour in self._colours.items():
            shown = shown.replace(f"{self._mark}{part}<", style("", fg=colour, reset=False))
        return Drawn(shown)


def drawn(*parts: RenderableType) -> Drawn:
    """Returns tables and texts as they are shown on this terminal, each with a line end.

    Rich's markup is not interpreted, because labels have brackets. Control characters in the parts
    are shown as text; only rich's own colours are written.

    Args:
        parts: Tables of this module, plain texts, or rich's `Text` for styled ones.
    """
    from rich.console import Console
    from rich.segment import Segment, Segments

    written, terminal = io.StringIO(), sys.stdout.isatty()
    console = Console(
        file=written,
        width=shutil.get_terminal_size().columns if terminal else PIPED_WIDTH,
        force_terminal=terminal,
        markup=False,
        highlight=False,
    )
    for part in parts:
        shown = visible(part) if isinstance(part, str) else part
        text = console.render_str(shown) if isinstance(shown, str) else shown
        # Once more for what others made, such as the text of a chart.
        room = console.options.update(max_width=max(console.width, _least_width(text)))
        pieces = [
            Segment(visible(piece.text), piece.style, piece.control)
            for piece in console.render(text, room)
        ]
        # Without `crop=False`, rich would cut off the last columns on a narrow terminal.
        console.print(Segments(pieces), end="", crop=False)
    return Drawn(written.getvalue())


def _least_width(part: RenderableType) -> int:
    """Returns the width of a table of this module whose texts are folded as far as possible."""
    from rich.table import Table

    if not isinstance(part, Table):
        return 0
    widths = [
        max(len(line) for cell in (column.header, *column.cells) for line in str(cell).split("\n"))
        if column.no_wrap
        else column.min_width or 1
        for column in part.columns
    ]
    return sum(widths) + GAP * (len(widths) - 1)


@contextmanager
def stopping(stop: StopFlag) -> Iterator[None]:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a request to stop. A second one stops at once.

    A terminal that is closed sends SIGHUP, often twice: the second one changes nothing. A SIGHUP
    that is ignored, as under nohup, stays so.
    """
    from halo_core.stop_flag import BySignal, is_of_a_fork, stop_number

    process = os.getpid()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if is_of_a_fork(number, process):
            return
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if stop.is_set():
            if number == signal.SIGHUP:
                return
            raise BySignal(number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        say(f"\n{name}: saving the state; a second one stops at once", err=True)
        stop.set(stop_number(number))

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
