"""`halo report RUN_OR_SUITE...`: a page that compares runs, with figures and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import UserError


@click.command()
@click.argument("names", metavar="[RUN_OR_SUITE]...", nargs=-1)
@click.option(
    "--counts",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Report on counts of wins in a CSV file instead of on runs.",
)
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Where the page goes.")
@workspace_option
@output_options
def report(
    names: Sequence[str], counts: str | None, out: str | None, workspace: str, output: Output
) -> None:
    """Compare runs on one page: win rates, lengths, curves, and the statistics under them."""
    if bool(names) == bool(counts):
        raise UserError("expected runs or suites, or --counts FILE: one of the two")
    page, payload, folder = _of_counts(Path(counts or ""), out)
    _finish(page, payload, folder, output)


def _of_counts(path: Path, out: str | None) -> tuple[Any, dict[str, Any], Path]:
    from halo_report.counts_file import read_counts
    from halo_report.counts_report import counts_page

    if out is None:
        raise UserError("--counts needs --out DIR: where the page goes")
    page, payload = counts_page(read_counts(path), str(path))
    return page, payload, Path(out)


def _finish(page: Any, payload: dict[str, Any], folder: Path, output: Output) -> None:
    from halo_report.report_files import write_report

    files = write_report(page, folder)
    output.emit({**payload, "files": [str(path) for path in files]})
    for path in files:
        output.say(str(path))
