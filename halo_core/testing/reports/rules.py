"""Checks the promises of every report: a file in the run's folder, and nothing else changed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from halo_core.guarded.report_calls import written_by
from halo_core.hashing import file_hash
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.made_runs import as_resumed, make_run, without_numbers
from halo_core.testing.processes.effects import caches
from halo_core.testing.reports.report_alone import check_self_contained
from halo_core.testing.reports.report_ends import check_ends
from halo_core.testing.reports.report_numbers import check_numbers
from halo_core.testing.reports.report_pages import check_growing
from halo_core.testing.reports.report_texts import check_texts
from halo_core.testing.stateless import does_only
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

NO_NUMBERS = "a run whose stages have no metrics"
RESUMED = "a run that failed and was resumed"


def check_report(report: Report, folder: Path) -> None:
    """Runs `check_component`, and checks pages: files, growth, texts, independence, numbers.

    Args:
        report: A report with its options.
        folder: An empty folder, which becomes the workspace of two short runs.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(report)
    rules = {
        "pages": check_pages,
        "growing": check_growing,
        "texts": check_texts,
        "self-contained": check_self_contained,
        "numbers": check_numbers,
    }
    check_rules(report, {name: partial(each, folder=folder / name) for name, each in rules.items()})


def check_pages(report: Report, folder: Path) -> None:
    """Writes the report of runs that are over, twice, and of one in progress if it is `live`.

    One of the runs that are over has no metrics, and one failed at first and was resumed.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When it raises, returns something else than a file with content in the run's
            folder, returns another file or writes other content the second time, writes outside of
            the run's folder, changes or removes a file that it did not write, or shows the end of
            an earlier attempt as that of the run (see `check_ends`).
    """
    workspace = Workspace(folder.resolve())
    runs = {"a run that is over": make_run(workspace, "a")}
    runs[NO_NUMBERS] = make_run(workspace, "c")
    without_numbers(runs[NO_NUMBERS])
    runs[RESUMED] = make_run(workspace, "d")
    as_resumed(runs[RESUMED], ended=False)
    if report.live:
        runs["a run in progress"] = make_run(workspace, "b", done=False)
        with (runs["a run in progress"] / EVENTS.name).open("a", encoding="utf-8") as events:
            events.write('{"type": "met')  # Its process is just writing the next event.
    for what, run in runs.items():
        before = _files(workspace.root)
        written, contents = [], []
        _written(report, run, what)  # The first page imports libraries, which set what they need.
        with does_only(report, f"write() of {what}", inside=[folder, *caches()]):
            for _ in range(2):
                written.append(_written(report, run, what))
                contents.append(file_hash(written[-1]))
        expect(
            written[0] == written[1],
            report,
            f"write() of {what} returned {written[0]}, and the second time {written[1]}",
        )
        expect(
            contents[0] == contents[1],
            report,
            f"write() of {what} wrote {written[0].name} twice with other content; expected a page "
            "that depends on the run only, and not on the time, on chance or on an earlier call",
        )
        after = _files(workspace.root)
        changed = sorted(name for name, digest in before.items() if after.get(name) != digest)
        expect(
            not changed,
            report,
            f"write() of {what} changed or removed {', '.join(changed)}; expected its own file",
        )
        outside = sorted(
            name for name in {*after} - {*before} if not (workspace.root / name).is_relative_to(run)
        )
        expect(
            not outside,
            report,
            f"write() of {what} wrote {', '.join(outside)}; expected files in the run's folder",
        )
    shutil.rmtree(workspace.root / "runs", ignore_errors=True)
    check_ends(report, folder / "ends")


def _written(report: Report, run: Path, what: str) -> Path:
    with must_not_raise(report, f"write() of {what}"):
        path = written_by(report, run)
    expect(path.stat().st_size > 0, report, f"write() of {what} wrote {path.name} without content")
    return path


def _files(root: Path) -> Mapping[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): file_hash(path) for path in files}


__all__ = ["check_pages", "check_report"]
