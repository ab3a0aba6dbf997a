"""Figures that become SVG text for a page, readable on a light and on a dark background.

No pyplot: a figure is an object and leaves no state behind.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the page's text colour; no series has it."""

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


def draw(name: str, paint: Callable[[Figure], None], *, width: float, height: float) -> str:
    """Returns an ``<svg>`` element in which the ink is the page's text colour.

    Args:
        name: Unique within the page; the ids in the SVG are derived from it.
        paint: Adds axes to the figure and draws on them.
        width: In inches of 72 points.
        height: In inches of 72 points.
    """
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA)
    return _inline(text.getvalue(), name)


def _inline(document: str, name: str) -> str:
    """Returns the SVG element of a document, its ids made unique, to stand within a page."""
    element = document[document.index("<svg") :].replace(INK, "currentColor")
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", name)
    element = re.sub(r'\bid="', f'id="{prefix}-', element)
    element = re.sub(r'href="#', f'href="#{prefix}-', element)
    element = element.replace("url(#", f"url(#{prefix}-")
    return element.replace("<svg ", '<svg role="img" ', 1)
