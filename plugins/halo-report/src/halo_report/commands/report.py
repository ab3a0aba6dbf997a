"""`halo report RUN_OR_SUITE...`: writes a page that compares runs, with figures and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import UserError
from halo_core.printing import warn

if TYPE_CHECKING:
    from halo_core.workspace.layout import Target
    from halo_report.pages.page_parts import ReportPage
    from halo_report.read.suite_axes import AxisChoice


@click.command()
@click.argument("names", metavar="[RUN_OR_SUITE]...", nargs=-1, type=RunName())
@click.option(
    "--counts",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Report on counts of wins in a CSV file instead of on runs.",
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    metavar="DIR",
    help="Folder for the page. Default: report/ in a single suite's folder, otherwise reports/ in "
    "the workspace.",
)
@click.option("--judge-stage", metavar="ID", help="Judge stage to use. Default: the last one.")
@click.option("--x", metavar="AXIS", help="Suite axis to show along x. Default: method.")
@click.option("--series", metavar="AXIS", help="Suite axis to show as series. Default: size.")
@click.option("--fraction", metavar="AXIS", help="Suite axis with the fraction of the data kept.")
@workspace_option
@output_options
def report(
    names: Sequence[str],
    counts: str | None,
    out: str | None,
    judge_stage: str | None,
    x: str | None,
    series: str | None,
    fraction: str | None,
    workspace: str,
    output: Output,
) -> None:
    """Compare runs on one page: win rates, lengths, curves and their statistics.

    \b
    halo report my-suite
    halo report first-run second-run --out compared
    halo report --counts wins.csv --out counted
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_report.pages.html import write_report
    from halo_report.read.suite_axes import AxisChoice

    if bool(names) == bool(counts):
        raise UserError("expected runs or suites by name, or --counts FILE: one of the two")
    choice = AxisChoice(x, series, fraction)
    trackers: list[dict[str, Any]] = []
    if counts:
        axes = {"--x": x, "--series": series, "--fraction": fraction}
        _check_unused({"--judge-stage": judge_stage, **axes}, "--counts")
        page, payload, folder = _of_counts(Path(counts), out)
        files = write_report(page, folder)
    else:
        targets = _targets(names, Path(workspace), choice)
        page, payload = _of_runs(targets, judge_stage, choice)
        folder = Path(out) if out else _own_folder(targets, Path(workspace))
        files = write_report(page, folder)
        trackers = _tell_trackers(targets, folder)
    output.emit({**payload, "trackers": trackers, "files": [str(path) for path in files]})
    _say(page, files, trackers, output)


def _check_unused(options: dict[str, str | None], other: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise UserError(f"has no effect with {other}; leave it out", location=option)


def _of_counts(path: Path, out: str | None) -> tuple[ReportPage, dict[str, Any], Path]:
    from halo_report.pages.counts_page import counts_page
    from halo_report.read.counts_file import read_counts

    if out is None:
        raise UserError("--counts needs --out DIR: where the page goes")
    page, payload = counts_page(read_counts(path), str(path))
    return page, payload, Path(out)


def _targets(names: Sequence[str], workspace: Path, choice: AxisChoice) -> list[Target]:
    from halo_core.workspace.layout import find

    targets = list(dict.fromkeys(find(name, workspace) for name in names))
    if all(target.kind == "run" for target in targets):
        axes = {"--x": choice.x, "--series": choice.series, "--fraction": choice.fraction}
        _check_unused(axes, "runs: only suites have axes")
    return targets


def _of_runs(
    targets: Sequence[Target], judge_stage: str | None, choice: AxisChoice
) -> tuple[ReportPage, dict[str, Any]]:
    from halo_report.pages.suite_page import parts_page, runs_part, suite_part
    from halo_report.read.suite_cells import read_runs, read_suite

    suites = [target for target in targets if target.kind == "suite"]
    runs = [target for target in targets if target.kind == "run"]
    parts = [suite_part(read_suite(suite, judge_stage), choice) for suite in suites]
    if runs:
        parts.append(runs_part(*read_runs(runs, judge_stage)))
    facts = {f"{t.kind.capitalize()} {t.folder.name}": str(t.folder) for t in targets}
    return parts_page(parts, facts)


def _tell_trackers(targets: Sequence[Target], folder: Path) -> list[dict[str, Any]]:
    """Hands the report of a single suite to its trackers."""
    from halo_report.report_trackers import hand_over

    if len(targets) != 1 or targets[0].kind != "suite":
        return []
    return hand_over(folder.resolve(), targets[0])


def _own_folder(targets: Sequence[Target], workspace: Path) -> Path:
    if len(targets) == 1 and targets[0].kind == "suite":
        return targets[0].folder / "report"
    return workspace / "reports" / "+".join(target.folder.name for target in targets)[:120]


def _say(
    page: ReportPage, files: Sequence[Path], trackers: Sequence[dict[str, Any]], output: Output
) -> None:
    for warning in page.warnings:
        output.say(f"{page.warned.lower()}: {warning}")
    output.say(f"page: {files[0]}")
    if len(files) > 1:
        output.say(f"figures, as PNG and SVG: {', '.join(plot.name for plot in page.plots)}")
    for tracker in trackers:
        if tracker["status"] == "sent":
            output.say(f"{tracker['use']}: sent to the suite's parent")
        else:
            warn(f"{tracker['use']} did not take it: {tracker['why']}")
