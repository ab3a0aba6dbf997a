"""Ways to show a board: drawn on a terminal, as lines, for another process, or not at all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halo_core import printing
from halo_core.display.layout import Line, lines
from halo_core.display.texts import head_text, last_line, plain_line
from halo_core.display.view import View

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

LINE_EVERY_S = 30.0
"""Seconds between two lines about a run without a terminal."""
FIRST_LINE_S = 5.0
"""Seconds after which a run without a terminal says first what it is doing."""
STYLES: Mapping[str, str] = {"stage": "bold", "bar": "", "bar text": "", "fact": ""}
DONE_STYLE = "green"


class DrawnSurface:
    """Draws the board at the lower end of a terminal, and prints lines above it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._live: Live | None = None

    def open(self) -> None:
        """Begins to draw."""
        from rich.live import Live

        console = terminal_console()
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )
        self._console = console
        self._live.start()
        self._stack.enter_context(printing.lines_above(self._above))

    def show(self, views: list[View]) -> None:
        """Draws the board. A terminal that is gone does not end the run."""
        assert self._live is not None
        console = self._console
        made = lines(views, console.width, time.time(), plain=console.options.ascii_only)
        with suppress(OSError), printing.dropped_by_closed_terminal():
            self._live.update(_painted(made), refresh=True)

    def stage_began(self, view: View) -> None:
        """Does nothing: the next look shows it."""

    def work_ended(self, view: View) -> None:
        """Does nothing: the facts stay until the stage ends."""

    def stage_failed(self, view: View) -> None:
        """Prints the last facts, which would otherwise be gone with the display."""
        if view.work is not None:
            printing.say(last_line(view), err=True)

    def close(self) -> None:
        """Removes the board."""
        assert self._live is not None
        self._stack.close()
        try:
            self._live.stop()
        except OSError:
            return

    def _above(self, shown: str, err: bool) -> None:
        from rich.text import Text

        if not err and not sys.stdout.isatty():
            printing.write(shown, sys.__stdout__ or sys.stdout)
            return
        with printing.dropped_by_closed_terminal():
            self._console.print(Text.from_ansi(shown.removesuffix("\n")), soft_wrap=True)


def terminal_console() -> Console:
    """Returns a console on stderr that never hides the cursor.

    A process that is killed could not show it again.
    """
    from rich.console import Console

    class Visible(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False

    return Visible(stderr=True, markup=False, highlight=False)


def _painted(made: list[Line]) -> Text:
    from rich.text import Text

    whole = Text(no_wrap=True, end="")
    for number, line in enumerate(made):
        text = Text(line.text, style=STYLES[line.kind])
        if line.filled:
            text.stylize(DONE_STYLE, 0, line.filled)
        whole.append("\n" if number else "").append(text)
    return whole


@dataclass(frozen=True)
class _Said:
    """When a line about a run was last printed, and about which work."""

    at: float
    work: float | None


def _work_of(view: View) -> float | None:
    return None if view.work is None else view.work.began


class LineSurface:
    """Prints a line when work begins, every half minute, and when work ends.

    Args:
        every_s: Seconds between two lines.
    """

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        self._every_s = every_s
        self._said: dict[str, _Said] = {}

    def open(self) -> None:
        """Does nothing."""

    def show(self, views: list[View]) -> None:
        """Prints a line about each run of which something is to be said."""
        for view in views:
            if view.work is None and view.phase is None:
                continue
            if self._is_due(view):
                self._said[view.title] = _Said(time.monotonic(), _work_of(view))
                printing.say(plain_line(view, time.time()), err=True)

    def _is_due(self, view: View) -> bool:
        now = time.monotonic()
        first = _Said(now - self._every_s + FIRST_LINE_S, None)
        said = self._said.setdefault(view.title, first)
        begins = view.work is not None and view.work.done > 0 and said.work != _work_of(view)
        return begins or now - said.at >= self._every_s

    def stage_began(self, view: View) -> None:
        """Prints which stage began."""
        printing.say(head_text(view), err=True)

    def work_ended(self, view: View) -> None:
        """Prints the last facts of the work."""
        if view.work is None:
            return
        self._said[view.title] = _Said(time.monotonic(), _work_of(view))
        printing.say(last_line(view), err=True)

    def stage_failed(self, view: View) -> None:
        """Does nothing: the last facts were printed at the end of the work."""

    def close(self) -> None:
        """Does nothing."""


def surface_for_stderr() -> DrawnSurface | LineSurface:
    """Returns a drawn surface if stderr is a terminal that can move its cursor, else lines."""
    able = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return DrawnSurface() if able else LineSurface()
