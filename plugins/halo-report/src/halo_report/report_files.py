"""Writes a page and its figures into a folder."""

from __future__ import annotations

from pathlib import Path

from halo_core.errors import PathError
from halo_core.store import write_text
from halo_report.comparison_page import Page, render_comparison
from halo_report.plot import save

PAGE = "report.html"


def write_report(page: Page, folder: Path) -> list[Path]:
    """Returns the files: ``report.html``, and each figure as PNG and SVG.

    Raises:
        PathError: When the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = [
            save(plot, folder / f"{plot.name}.{kind}")
            for plot in page.plots
            for kind in ("png", "svg")
        ]
        write_text(folder / PAGE, render_comparison(page))
    except OSError as error:
        told = f"cannot be written to: {error.strerror or error}; name another with --out"
        raise PathError(told, location=str(folder)) from error
    return [folder / PAGE, *figures]
