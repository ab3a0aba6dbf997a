"""The page of a comparison: figures with tables under them, in one HTML document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from halo_report.html import render
from halo_report.plot import Plot


@dataclass(frozen=True)
class TableView:
    """A table under a figure.

    Attributes:
        title: What it shows; the line that unfolds it where it is folded.
        header: Titles of the columns.
        rows: As many texts per row as there are titles.
        texts: The first so many columns are text, the others numbers.
        folded: Whether it is shown only when asked for.
        note: How to read it, or "".
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class Block:
    """A figure and what stands under it.

    Attributes:
        title: The heading.
        plots: The figures; none for tables alone.
        tables: Under them.
        note: Over the figures, or "".
    """

    title: str
    plots: Sequence[Plot] = ()
    tables: Sequence[TableView] = ()
    note: str = ""


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: The heading of all.
        blocks: In order.
        warnings: What is missing, and why.
        facts: Label to text, at the end.
        warned: The heading of the warnings.
        lead: A sentence under the heading of all, or "".
        links: Label to address of other pages on the same.
    """

    title: str
    blocks: Sequence[Block]
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warned: str = "Not in the figures"
    lead: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def plots(self) -> list[Plot]:
        """Returns all figures, in order."""
        return [plot for block in self.blocks for plot in block.plots]


def render_comparison(page: Page, drawn: Mapping[str, str]) -> str:
    """Returns the HTML document. Everything is escaped; it loads nothing and runs nothing.

    Args:
        page: What to show.
        drawn: Name of each of its figures to the ``<svg>`` element.
    """
    return render("comparison.html.j2", {"page": page, "drawn": drawn})
