"""The report `html`: one page per run."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from halo_core.tracker import Report


class Html(Report):
    """Writes `report.html`: one file that contains its figures and needs no network."""

    samples: int = Field(
        default=20,
        ge=0,
        description="Number of prompts to show with their completions side by side.",
    )

    def write(self, run: Path) -> Path:
        """Writes ``run/report.html``, which is never incomplete, and returns its path."""
        from halo_core.workspace.files import write_text
        from halo_report.pages.run_page import render_page
        from halo_report.read.run_data import read_run

        path = run / "report.html"
        write_text(path, render_page(read_run(run), samples=self.samples))
        return path
