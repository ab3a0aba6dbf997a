"""The lines of the display on a terminal of some width. Nothing is cut; what is long is folded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halo_core.display.texts import (
    count_text,
    fact_texts,
    head_text,
    phase_text,
    plain_texts,
    time_texts,
)
from halo_core.display.view import BarView, View

BETWEEN = "   "
INDENT = "  "
LONGEST_BAR = 60
SHORTEST_BAR = 8
WAVE_S = 2.0
"""Seconds in which the mark of a bar without a known end goes through it once."""


@dataclass(frozen=True)
class Line:
    """A line of the display.

    Attributes:
        text: The line.
        kind: Its kind, which decides the colour.
        filled: Number of characters at its beginning that are coloured as done.
    """

    text: str
    kind: str = "fact"
    filled: int = 0


def lines(views: Sequence[View], width: int, now: float, *, plain: bool = False) -> list[Line]:
    """Returns the lines of the display.

    Args:
        views: The runs: one, or the cells of a suite that run in parallel.
        width: Number of columns.
        now: The time in Unix seconds.
        plain: Whether the terminal has only ASCII characters.
    """
    if len(views) == 1:
        return list(_of_run(views[0], width, now, plain=plain))
    return [line for view in views for line in _of_cell(view, width, now)]


def _of_cell(view: View, width: int, now: float) -> Iterable[Line]:
    """Yields a line with all facts of a cell, and further ones if they do not fit."""
    first, *rest = flowed(plain_texts(view, now), width) or [""]
    yield Line(first.strip(), "stage")
    yield from map(Line, rest)


def _of_run(view: View, width: int, now: float, *, plain: bool) -> Iterable[Line]:
    for text in _folded(head_text(view), width):
        yield Line(text, "stage")
    for bar in (view.work, view.phase):
        if bar is not None:
            text = count_text(bar) if bar is view.work else phase_text(bar, now)
            yield from _bar_lines(bar, text, width, now, plain=plain)
    for text in flowed([*fact_texts(view), *time_texts(view, now)], width):
        yield Line(text)


def _bar_lines(bar: BarView, text: str, width: int, now: float, *, plain: bool) -> Iterable[Line]:
    room = width - len(INDENT)
    beside = room - len(text) - len(INDENT)
    length = min(LONGEST_BAR, beside)
    fits = length >= SHORTEST_BAR
    if not fits:
        length = min(LONGEST_BAR, room)
        for part in _folded(text, width):
            yield Line(part, "bar text")
    drawn, filled = drawn_bar(bar, length, now, plain=plain)
    yield Line(
        f"{INDENT}{drawn}{INDENT}{text}" if fits else f"{INDENT}{drawn}",
        "bar",
        len(INDENT) + filled,
    )


def drawn_bar(bar: BarView, length: int, now: float, *, plain: bool = False) -> tuple[str, int]:
    """Returns a bar of some length, and the number of its characters up to the last one done.

    The end of what is done shows without colours too. A bar without a known end has a mark that
    moves.
    """
    done, rest = ("#", "-") if plain else ("━", "─")
    if bar.total is None:
        mark = max(1, length // 6)
        start = round((now - bar.began) % WAVE_S / WAVE_S * (length - mark))
        return rest * start + done * mark + rest * (length - mark - start), 0
    share = min(1.0, bar.done / bar.total) if bar.total else 1.0
    filled = int(length * share)
    return done * filled + rest * (length - filled), filled


def flowed(texts: Iterable[str], width: int) -> list[str]:
    """Returns lines of whole texts. Each line has as many texts as fit.

    >>> flowed(["loss 0.4", "tokens/s 100", "left of the run unknown"], 30)
    ['  loss 0.4   tokens/s 100', '  left of the run unknown']
    """
    made: list[str] = []
    for text in texts:
        longer = f"{made[-1]}{BETWEEN}{text}" if made else ""
        if made and len(longer) <= width:
            made[-1] = longer
        else:
            made += _folded(INDENT + text, width)
    return made


def _folded(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text] if text else []
    indent = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(),
        max(len(indent) + 4, width),
        initial_indent=indent,
        subsequent_indent=indent + INDENT,
        break_on_hyphens=False,
    )
