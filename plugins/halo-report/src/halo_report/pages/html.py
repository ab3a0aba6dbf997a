"""HTML documents from the package's templates, and the files of a page and its figures."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from halo_core.errors import PathError
from halo_core.workspace.files import write_text
from halo_report.figures.plot import save, svg_element, svg_file
from halo_report.pages.page_parts import ReportPage

PAGE = "report.html"
TEMPLATE = "page.html.j2"


def write_report(
    page: ReportPage, folder: Path, name: str = PAGE, *, figures: bool = True
) -> list[Path]:
    """Writes and returns the files: the page ``report.html``, and each figure as PNG and SVG.

    Args:
        page: The page.
        folder: The folder for the files, which is created if needed.
        name: Name of the page's file.
        figures: Whether to write the figures as files, too. The page contains them anyway.

    Raises:
        PathError: When the folder cannot be written to.
    """
    files = [folder / name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Drawing takes seconds, so the page and the SVG files use the same drawing.
        drawn = _drawn(page)
        for plot in page.plots if figures else ():
            files.append(save(plot, folder / f"{plot.name}.png"))
            files.append(folder / f"{plot.name}.svg")
            write_text(files[-1], svg_file(drawn[plot.name]))
        # The page is written last: if it exists, all of its figures exist too.
        write_text(files[0], _document(page, drawn))
    except OSError as error:
        reason = f"cannot be written to: {error.strerror or error}; name another with --out"
        raise PathError(reason, location=str(folder)) from error
    return files


def render_report(page: ReportPage) -> str:
    """Returns the HTML document. Everything is escaped; it loads nothing and runs nothing."""
    return _document(page, _drawn(page))


def _drawn(page: ReportPage) -> dict[str, str]:
    """Returns the ``<svg>`` element of each figure, by name."""
    return {plot.name: svg_element(plot) for plot in page.plots}


def _document(page: ReportPage, drawn: Mapping[str, str]) -> str:
    figures = {name: Markup(element) for name, element in drawn.items()}
    document: str = _environment().get_template(TEMPLATE).render(page=page, drawn=figures)
    return document


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("halo_report.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
