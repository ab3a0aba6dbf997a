"""Checks the optional methods of a tracker: suites, reports, comparisons, and marks of deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.trackers.tracker_descriptions import described
from halo_core.testing.trackers.tracker_files import changed_in, hashes_of_run, texts_in
from halo_core.tracker import SuiteStatus, Tracker
from halo_core.workspace.files import write_text
from halo_core.workspace.records import EVENTS, RESOLVED_SPEC, RUN, SPEC, SUITE, SUITE_SPEC

UNKNOWN = "toy-ffffff"
"""Name of a run that no tracker was given."""


HALOS = {each.name for each in (RUN, EVENTS, SUITE)} | {SPEC, RESOLVED_SPEC, SUITE_SPEC}
"""Files of a run and a suite that are halo's."""


def check_abilities(tracker: Tracker, runs: Sequence[Path], suite: Path, workspace: Path) -> None:
    """Calls the optional methods of a tracker, each of them twice. Deletes the first run and suite.

    Args:
        tracker: The tracker.
        runs: The folders of runs that it got.
        suite: The folder of their suite.
        workspace: The workspace.

    Raises:
        AssertionError: When a method raises, or returns something that its interface does not
            allow; when a repeated call changes a text file; when the second of two reports does not
            replace the first one; when it changes files of a report or a run, or has forgotten a
            run that was not deleted; or when a comparison names the wrong runs as absent.
    """
    _check_suite(tracker, suite, workspace)
    _check_report(tracker, suite, workspace)
    unknown = runs[0].with_name(UNKNOWN)
    there = _has(tracker, runs[0], workspace, "has_run()")
    expect(
        there in (True, None),
        tracker,
        f"has_run() of a run whose events it took gave {there!r}; expected True, or None",
    )
    _check_unknown(tracker, runs[0], workspace)
    _check_comparison(tracker, runs, unknown, workspace)
    _check_deletion(tracker, runs, suite, workspace)


def check_unknown_run(tracker: Tracker, run: Path, workspace: Path) -> None:
    """Asks for a run before the tracker got any events, which must write nothing.

    Args:
        tracker: The tracker.
        run: The folder of the run.
        workspace: The workspace.

    Raises:
        AssertionError: When `has_run` says that it has the run, or writes a file.
    """
    before = {*workspace.rglob("*")}
    there = _has(tracker, run, workspace, "has_run() before the first event")
    made = sorted(str(each.relative_to(workspace)) for each in {*workspace.rglob("*")} - before)
    expect(
        there in (False, None),
        tracker,
        f"has_run() before the first event gave {there!r}; expected False, or None",
    )
    expect(
        not made,
        tracker,
        f"has_run() before the first event writes {', '.join(made)}; expected it to look only",
    )


def _has(tracker: Tracker, run: Path, workspace: Path, doing: str) -> object:
    with must_not_raise(tracker, doing):
        return tracker.has_run(run, workspace)


def _check_suite(tracker: Tracker, suite: Path, workspace: Path) -> None:
    statuses: tuple[SuiteStatus, ...] = ("pending", "running", "running", "done")
    once: Mapping[str, str] = {}
    for number, status in enumerate(statuses):
        with must_not_raise(tracker, f"tell_suite(..., {status!r})"):
            answer: object = tracker.tell_suite(suite, workspace, status)
        described(tracker, "tell_suite", answer)
        texts = texts_in(workspace)
        if number and status == statuses[number - 1]:
            _check_same(tracker, f"tell_suite(..., {status!r})", once, texts)
        once = texts


def _check_same(
    tracker: Tracker, doing: str, once: Mapping[str, str], again: Mapping[str, str]
) -> None:
    changed = sorted(name for name in {*once, *again} if once.get(name) != again.get(name))
    expect(
        not changed,
        tracker,
        f"{doing} a second time changes {', '.join(changed)}; expected no change, because halo may "
        "call it again",
    )


def _check_report(tracker: Tracker, suite: Path, workspace: Path) -> None:
    report = suite / "report"
    page = report / "report.html"
    seen: list[Mapping[str, str]] = [texts_in(workspace, without=report)]
    for content in ("<p>report</p>\n", "<p>report</p>\n", "<p>a later report</p>\n"):
        write_text(page, content)
        with must_not_raise(tracker, "take_report()"):
            taken: object = tracker.take_report(report, suite, workspace)
        expect(isinstance(taken, bool), tracker, f"take_report() gave {taken!r}; expected a bool")
        expect(
            page.is_file() and page.read_text("utf-8") == content,
            tracker,
            "take_report() changes or removes the files of the report; expected it to copy them",
        )
        seen.append(texts_in(workspace, without=report))
    before, first, again, later = seen
    _check_same(tracker, "take_report()", first, again)
    expect(
        first == before or later != again,
        tracker,
        "take_report() of another report changes nothing, although the first one wrote "
        f"{', '.join(sorted(set(first) - set(before))) or 'something'}; expected a later call to "
        "replace the files",
    )


def _check_unknown(tracker: Tracker, run: Path, workspace: Path) -> None:
    """Checks the answers about runs that it was never given, also with names like the known one."""
    for name in (UNKNOWN, run.name[:-1], f"{run.name[:-1]}z", f"{run.name}-2"):
        unknown = run.with_name(name)
        for _ in range(2):  # The first question could make it known.
            there = _has(tracker, unknown, workspace, "has_run() of a run that it does not know")
            expect(
                there in (False, None),
                tracker,
                f"has_run() of a run that it was never given gave {there!r}; expected False, or "
                f"None (it was asked for {name}, and it knows {run.name})",
            )
    made = [str(path.relative_to(workspace)) for path in workspace.rglob(f"*{UNKNOWN}*")]
    expect(
        not made,
        tracker,
        f"has_run() writes {', '.join(made)}; expected it to look only",
    )


def _check_deletion(tracker: Tracker, runs: Sequence[Path], suite: Path, workspace: Path) -> None:
    run, other = runs[0], runs[-1]
    files = {each: hashes_of_run(each) for each in (run, suite)}
    for each in files.values():  # A tracker may have files of its own there.
        for name in set(each) - HALOS:
            del each[name]
    had_other = _has(tracker, other, workspace, "has_run()")
    kept = texts_in(workspace)
    for folder in (run, run, suite, suite):
        with must_not_raise(tracker, f"mark_deleted() of {folder.name}"):
            had: object = tracker.mark_deleted(folder, workspace)
        expect(isinstance(had, bool), tracker, f"mark_deleted() gave {had!r}; expected a bool")
        there = tracker.has_run(folder, workspace) if folder == run else None
        expect(
            not had or there in (False, None),
            tracker,
            f"has_run() after mark_deleted() gave {there!r}; expected False, or None",
        )
        changed = changed_in(folder, files[folder])
        expect(
            not changed,
            tracker,
            f"mark_deleted() changes or removes {', '.join(changed)} in the folder "
            f"{folder.name}; expected it to change the store only, because halo removes the folder",
        )
        if folder == run:
            has_other = _has(tracker, other, workspace, "has_run()")
            expect(
                has_other == had_other,
                tracker,
                f"after mark_deleted() of {run.name}, has_run() of {other.name} gave {has_other}; "
                f"expected {had_other!r}, as before",
            )
    _check_nothing_lost(tracker, kept, texts_in(workspace))


def _check_nothing_lost(tracker: Tracker, kept: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Checks that no file of the store was removed. It may have another name or another content."""
    lost = sorted(n for n, text in kept.items() if n not in now and text not in now.values())
    expect(
        not lost,
        tracker,
        f"mark_deleted() removes {', '.join(lost)}; expected it to mark the run as deleted in the "
        "store, for example by another name of its file, and to delete nothing there",
    )


def _check_comparison(
    tracker: Tracker, runs: Sequence[Path], unknown: Path, workspace: Path
) -> None:
    asked = [*runs, unknown]
    with must_not_raise(tracker, "compare_runs()"):
        comparison = described(tracker, "compare_runs", tracker.compare_runs(asked, workspace))
    absent = comparison.get("absent", [])
    known = [str(run) for run in asked]
    expect(
        isinstance(absent, list) and all(run in known for run in absent),
        tracker,
        f"compare_runs() gave {absent!r} as 'absent'; expected folders of runs it was asked for",
    )
    if not comparison or not isinstance(absent, list):
        return
    for run in asked:
        there = _has(tracker, run, workspace, "has_run()")
        expect(
            there is None or there != (str(run) in absent),
            tracker,
            f"compare_runs() {'names' if there else 'does not name'} {run.name} as 'absent', and "
            f"has_run() of it gave {there!r}; expected the runs that it does not have",
        )


__all__ = ["check_abilities"]
