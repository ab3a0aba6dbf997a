"""Writes a page and its figures into a folder."""

from __future__ import annotations

from pathlib import Path

from halo_core.errors import PathError
from halo_core.workspace.files import write_text
from halo_report.comparison_page import Page, render_comparison
from halo_report.plot import as_file, inline, save

PAGE = "report.html"


def write_report(page: Page, folder: Path, name: str = PAGE) -> list[Path]:
    """Returns the files: the page, ``report.html``, and each figure as PNG and SVG.

    Args:
        page: The page.
        folder: Where they go; made if need be.
        name: What the page's file is called.

    Raises:
        PathError: When the folder cannot be written to.
    """
    files = [folder / name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = {plot.name: inline(plot) for plot in page.plots}
        for plot in page.plots:
            files.append(save(plot, folder / f"{plot.name}.png"))
            files.append(folder / f"{plot.name}.svg")
            write_text(files[-1], as_file(drawn[plot.name]))
        write_text(files[0], render_comparison(page, drawn))
    except OSError as error:
        told = f"cannot be written to: {error.strerror or error}; name another with --out"
        raise PathError(told, location=str(folder)) from error
    return files
