"""The report `html`: one page per run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from halo_core.tracker import Report


class Html(Report):
    """Writes `report.html`: one file that contains its figures and needs no network."""

    live: ClassVar[bool] = True

    samples: int = Field(
        default=20,
        ge=0,
        description="Largest number of prompts to show for each filter of the answers.",
    )

    def write(self, run: Path) -> Path:
        """Writes ``run/report.html``, which is never incomplete, and returns its path."""
        from halo_core.workspace.files import write_text
        from halo_report.pages.run_page import render_page
        from halo_report.read.run_data import read_run

        path = run / "report.html"
        write_text(path, render_page(read_run(run), samples=self.samples))
        return path
