"""`halo compare RUN RUN...`: shows the numbers of runs in one table, with tests between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import PathError
from halo_core.hashing import short_hash

if TYPE_CHECKING:
    from halo_report.compare.run_comparison import RunComparison
    from halo_report.report_trackers import TrackerPages

PAGE, RUNS, PAIRS = "comparison.html", "comparison.csv", "pairs.csv"
LONGEST_FOLDER = 80


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True, type=RunName())
@click.option(
    "--stage",
    "--judge-stage",
    "judge_stage",
    metavar="ID",
    help="Judge stage of runs that are named without one. Default: the last one.",
)
@click.option("--baseline", metavar="RUN", type=RunName(), help="Test all others against this one.")
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Confidence level of every interval, between 0 and 1.",
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    metavar="DIR",
    help="Folder for the page and the CSV files. Default: comparisons/ in the workspace.",
)
@click.option(
    "--csv",
    "csv_file",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="File for the table of runs; the table of tests goes into the same folder.",
)
@workspace_option
@output_options
def compare(
    names: Sequence[str],
    judge_stage: str | None,
    baseline: str | None,
    confidence: float,
    out: str | None,
    csv_file: str | None,
    workspace: str,
    output: Output,
) -> None:
    """Compare judged runs in one table: win rates, intervals, paired tests, differences.

    RUN is a run's name, the beginning of a name, or a folder. RUN:STAGE selects one of its judge
    stages. A suite means all its cells. For figures, use halo report.

    \b
    halo compare first-run second-run
    halo compare quickstart:sft-win quickstart:kto-win
    halo compare my-suite --baseline small/sft
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_report.compare.comparison_text import comparison_text
    from halo_report.compare.run_comparison import compare_runs
    from halo_report.report_trackers import tracker_pages

    comparison = compare_runs(
        names, Path(workspace), judge_stage=judge_stage, baseline=baseline, confidence=confidence
    )
    pages = tracker_pages([model.run.folder for model in comparison.models])
    folder = Path(out) if out else Path(workspace) / "comparisons" / _folder_name(comparison)
    files = _write(comparison, pages, folder, Path(csv_file) if csv_file else None)
    output.emit(_payload(comparison, pages, files))
    if not output.json:
        output.say(comparison_text(comparison))
        output.say()
        _say_where(pages, files, output)


def _folder_name(comparison: RunComparison) -> str:
    """Returns a name made of the compared runs, shortened with a digest if it is too long.

    It has the names of the runs' folders, because titles can be given and changed.
    """
    folders = [model.run.folder.name for model in comparison.models]
    labels = [
        name if folders.count(name) == 1 else f"{name}-{model.judge.id}"
        for name, model in zip(folders, comparison.models, strict=True)
    ]
    name = "+".join(labels)
    if len(name) <= LONGEST_FOLDER:
        return name
    digest = short_hash(name, 8)
    return f"{labels[0][: LONGEST_FOLDER // 2]}+{len(labels) - 1}-more-{digest}"


def _write(
    comparison: RunComparison, pages: TrackerPages, folder: Path, csv_file: Path | None
) -> list[Path]:
    from halo_core.cli.tracker_lines import tracker_links
    from halo_core.workspace.files import write_text
    from halo_report.compare.comparison_page import comparison_page
    from halo_report.compare.comparison_tables import as_csv, pair_rows, run_rows
    from halo_report.pages.html import write_report

    page = comparison_page(comparison, tracker_links(pages.trackers))
    files = write_report(page, folder, PAGE, figures=False)
    runs = csv_file or folder / RUNS
    pairs = runs.with_name(f"{runs.stem}-{PAIRS}") if csv_file else folder / PAIRS
    for path, rows in ((runs, run_rows(comparison)), (pairs, pair_rows(comparison))):
        try:
            write_text(path, as_csv(rows))
        except OSError as error:
            reason = f"cannot be written: {error.strerror or error}; name another with --csv"
            raise PathError(reason, location=str(path)) from error
    return [*files, runs, pairs]


def _payload(
    comparison: RunComparison, pages: TrackerPages, files: Sequence[Path]
) -> dict[str, Any]:
    from halo_report.compare.comparison_tables import pair_rows, run_rows

    return {
        "rows": run_rows(comparison),
        "tests": pair_rows(comparison),
        "baseline": comparison.baseline.label if comparison.baseline else None,
        "unlike": list(comparison.unlike),
        "left_out": list(comparison.left_out),
        "unknown": list(comparison.unknown),
        "differences": [
            {"path": difference.path, "values": dict(difference.values)}
            for difference in comparison.differences
        ],
        "conclusion": comparison.conclusion,
        "trackers": dict(pages.trackers),
        "notes": list(pages.notes),
        "files": [str(path) for path in files],
    }


def _say_where(pages: TrackerPages, files: Sequence[Path], output: Output) -> None:
    from halo_core.cli.tracker_lines import label_lines, tracker_rows
    from halo_core.tracking.carrier import shown_path

    output.say(f"page: {shown_path(files[0])}")
    output.say(f"CSV:  {', '.join(shown_path(path) for path in files[1:])}")
    for line in label_lines(tracker_rows(pages.trackers)):
        output.say(line)
    for note in pages.notes:
        output.say(note)
