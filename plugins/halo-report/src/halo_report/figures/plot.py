"""Figures that are embedded in a page as SVG text and also written to separate files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halo_core.workspace.files import beside_name

INK = "#010203"
"""Placeholder for the page's text colour, which is dark or light. No series has this colour."""
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "boxplot.boxprops.color": INK,
    "boxplot.capprops.color": INK,
    "boxplot.medianprops.color": INK,
    "boxplot.whiskerprops.color": INK,
}
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
FORMATS = ("svg", "png", "pdf")
DPI = 160
WIDTH, HEIGHT = 3.5, 2.3
"""Width and height of a panel in inches of 72 points. A phone shows a panel in its full size."""
LEGEND = 0.25
"""Height of one row of a legend below a panel, in inches."""
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
        name: Name of its files without an ending, unique within a page.
        caption: Description of the figure for readers.
        paint: Function that adds axes to a figure and draws on them.
        width: Width in inches of 72 points.
        height: Height in inches of 72 points.
    """

    name: str
    caption: str
    paint: Callable[[Figure], None]
    width: float
    height: float


def on_axes(paint: Callable[[Axes], None]) -> Callable[[Figure], None]:
    """Returns a function that paints a figure with a single pair of axes."""
    return lambda figure: paint(figure.add_subplot())


def svg_element(plot: Plot) -> str:
    """Returns the plot as an ``<svg>`` element for a page, with ink in the page's text colour."""
    # Without a salt matplotlib's ids are random, and the same run gives another page each time.
    settings: Any = {**STYLE, "svg.hashsalt": plot.name}
    with rc_context(settings):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained")
        plot.paint(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA)
    return _within_a_page(text.getvalue(), plot.name)


def _within_a_page(document: str, name: str) -> str:
    """Returns the SVG element of a document with unique ids, so that a page can contain it."""
    element = document[document.index("<svg") :].replace(INK, "currentColor")
    # All figures of a page are in one document, where matplotlib's own ids would collide.
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", name)
    element = re.sub(r'\bid="', f'id="{prefix}-', element)
    element = re.sub(r'href="#', f'href="#{prefix}-', element)
    element = element.replace("url(#", f"url(#{prefix}-")
    return element.replace("<svg ", '<svg role="img" ', 1)


def svg_file(element: str) -> str:
    """Returns an element of `svg_element` as the text of an SVG file, on white paper."""
    paper = f'<svg style="background: {PAPER}" '
    return element.replace("<svg ", paper, 1).replace("currentColor", PAPER_INK)


def save(plot: Plot, path: Path) -> Path:
    """Writes the plot to a file on white paper and returns the file, which is never incomplete.

    Args:
        plot: The plot to draw.
        path: A path with an ending of `FORMATS`. The same plot gives the same bytes.

    Raises:
        ValueError: When the ending is none of `FORMATS`.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ValueError(f"{path.name}: expected a name that ends in .{', .'.join(FORMATS)}")
    ink = {key: PAPER_INK if value == INK else value for key, value in STYLE.items()}
    settings: Any = {**ink, "svg.hashsalt": plot.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = beside_name(path, str(os.getpid()))
    try:
        with rc_context(settings):
            figure = Figure((plot.width, plot.height), layout="constrained", facecolor=PAPER)
            plot.paint(figure)
            figure.savefig(beside, format=kind, dpi=DPI, metadata=_METADATA[kind])
        beside.replace(path)
    finally:  # After a full disk or Ctrl-C, a part of it may be left.
        beside.unlink(missing_ok=True)
    return path
