"""A figure that can stand within a page and be written to a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halo_report.svg import INK, NO_METADATA, STYLE, draw

FORMATS = ("svg", "png", "pdf")
DPI = 160
PAPER, PAPER_INK = "#ffffff", "#1b1f24"
_METADATA: dict[str, dict[str, None]] = {
    "svg": NO_METADATA,
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


@dataclass(frozen=True)
class Plot:
    """A figure before it is drawn.

    Attributes:
        name: Of its files, without an ending; unique within a page.
        caption: What it shows, for people.
        paint: Adds axes to a figure and draws on them.
        width: In inches of 72 points.
        height: In inches of 72 points.
    """

    name: str
    caption: str
    paint: Callable[[Figure], None]
    width: float
    height: float


def on_axes(paint: Callable[[Axes], None]) -> Callable[[Figure], None]:
    """Returns what paints a figure of a single pair of axes."""
    return lambda figure: paint(figure.add_subplot())


def inline(plot: Plot) -> str:
    """Returns the plot as an ``<svg>`` element for a page, in the page's text colour."""
    return draw(plot.name, plot.paint, width=plot.width, height=plot.height)


def as_file(element: str) -> str:
    """Returns an element that `inline` made as an SVG file, on white paper."""
    paper = f'<svg style="background: {PAPER}" '
    return element.replace("<svg ", paper, 1).replace("currentColor", PAPER_INK)


def save(plot: Plot, path: Path) -> Path:
    """Returns the file that the plot was written to, on white paper; it is whole or not there.

    Args:
        plot: What to draw.
        path: Its ending is one of `FORMATS`. The same plot gives the same bytes.

    Raises:
        ValueError: When the ending is none of these.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ValueError(f"{path.name}: expected a name that ends in .{', .'.join(FORMATS)}")
    ink = {key: PAPER_INK if value == INK else value for key, value in STYLE.items()}
    settings: Any = {**ink, "svg.hashsalt": plot.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    with rc_context(settings):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained", facecolor=PAPER)
        plot.paint(figure)
        figure.savefig(beside, format=kind, dpi=DPI, metadata=_METADATA[kind])
    beside.replace(path)
    return path
