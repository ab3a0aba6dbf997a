"""HTML documents from the package's templates, and the files of a page and its figures."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from halo_core.errors import PathError
from halo_core.workspace.files import write_text
from halo_report.figures.plot import Plot, save, svg_element, svg_file
from halo_statistics.win_rate import rate_text

PAGE = "report.html"


@dataclass(frozen=True)
class TableView:
    """A table under a figure.

    Attributes:
        title: The table's title. A click on it unfolds a folded table.
        header: Titles of the columns.
        rows: Rows with one text for each title.
        texts: Number of leading columns that are text. The others are numbers.
        folded: Whether the reader must unfold the table to see it.
        note: Note on how to read the table, or "".
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class PageBlock:
    """A figure and the tables under it.

    Attributes:
        title: The heading.
        plots: The figures; empty if the block has only tables.
        tables: The tables under the figures.
        note: A text above the figures, or "".
    """

    title: str
    plots: Sequence[Plot] = ()
    tables: Sequence[TableView] = ()
    note: str = ""


@dataclass(frozen=True)
class ReportPage:
    """The content of a page.

    Attributes:
        title: The heading of the page.
        blocks: The blocks in order.
        warnings: Sentences that say what is missing, and why.
        facts: Texts by label, shown at the end.
        warned: The heading of the warnings.
        lead: A sentence under the heading of the page, or "".
        links: Addresses of other pages on the same subject, by label.
    """

    title: str
    blocks: Sequence[PageBlock]
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warned: str = "Not in the figures"
    lead: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def plots(self) -> list[Plot]:
        """Returns all figures, in order."""
        return [plot for block in self.blocks for plot in block.plots]


def write_report(page: ReportPage, folder: Path, name: str = PAGE) -> list[Path]:
    """Writes and returns the files: the page ``report.html``, and each figure as PNG and SVG.

    Args:
        page: The page.
        folder: The folder for the files, which is created if needed.
        name: Name of the page's file.

    Raises:
        PathError: When the folder cannot be written to.
    """
    files = [folder / name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Drawing takes seconds, so the page and the SVG files use the same drawing.
        drawn = {plot.name: svg_element(plot) for plot in page.plots}
        for plot in page.plots:
            files.append(save(plot, folder / f"{plot.name}.png"))
            files.append(folder / f"{plot.name}.svg")
            write_text(files[-1], svg_file(drawn[plot.name]))
        # The page is written last: if it exists, all of its figures exist too.
        write_text(files[0], render_comparison(page, drawn))
    except OSError as error:
        reason = f"cannot be written to: {error.strerror or error}; name another with --out"
        raise PathError(reason, location=str(folder)) from error
    return files


def render_comparison(page: ReportPage, drawn: Mapping[str, str]) -> str:
    """Returns the HTML document. Everything is escaped; it loads nothing and runs nothing.

    Args:
        page: The page.
        drawn: The ``<svg>`` element of each figure, by name.
    """
    return render("comparison.html.j2", {"page": page, "drawn": drawn})


def render(template: str, values: Mapping[str, object]) -> str:
    """Returns the document of a template.

    Args:
        template: Name of its file in the package's folder ``templates``.
        values: The values by name. Text is escaped; the filter ``svg`` inserts figures.
    """
    document: str = _environment().get_template(template).render(values)
    return document


def number_text(value: float) -> str:
    """Returns a number with as many digits as a reader needs.

    >>> [number_text(value) for value in (200, 12345.0, 0.59512, 5e-7)]
    ['200', '12345', '0.5951', '5e-07']
    """
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def figure_markup(figure: Plot | str) -> Markup:
    """Returns a figure, drawn if needed, as an element that is not escaped."""
    return Markup(figure if isinstance(figure, str) else svg_element(figure))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("halo_report.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number_text, "rate": rate_text, "svg": figure_markup}
    return environment
