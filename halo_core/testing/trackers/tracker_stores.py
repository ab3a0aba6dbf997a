"""Checks that a tracker keeps several runs in one store, and says if the store takes nothing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from halo_core.events import Event, EventLog, read_events
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import make_run
from halo_core.testing.trackers.tracker_effects import check_effects, written_one_by_one
from halo_core.testing.trackers.tracker_events import with_numbers, write
from halo_core.testing.trackers.tracker_files import Written, files_in
from halo_core.testing.trackers.tracker_secrets import marked_environment
from halo_core.tracker import StartOver, Tracker
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

LONG_S = 0.7
"""Seconds of a session from which further ones are left out."""


def check_stored(tracker: Tracker, folder: Path) -> None:
    """Runs `check_effects`, and checks the store of a tracker that writes files here.

    Args:
        tracker: The tracker.
        folder: An empty folder.

    Raises:
        AssertionError: When the numbers of a run are lost as soon as another run is sent, although
            `has_run` says that the first one is there; or when `handle` returns although it cannot
            write.
    """
    check_effects(tracker, folder)
    place = folder.resolve() / "stores"
    run = make_run(Workspace(place / "given"), "a")
    root = place / "workspace"
    begun = time.monotonic()
    with marked_environment(tracker):
        usual = written_one_by_one(tracker, run, root)
        if not usual or time.monotonic() - begun > LONG_S:
            return
        _check_blocked(tracker, run, root, usual)
        _check_runs(tracker, place)


def _check_blocked(tracker: Tracker, given: Path, root: Path, usual: Written) -> None:
    """Sends events to a tracker in whose files' places there are folders."""
    root = Path(tempfile.mkdtemp(prefix="blocked-", dir=root.parent)).resolve()
    run = Workspace(root).run(given.name)
    shutil.copytree(given, run)
    before = {*run.rglob("*")}
    for name in usual:
        (root / name).mkdir(parents=True, exist_ok=True)
    try:
        _send(tracker, run, root)
    except Exception:
        return  # halo sends the events again later.
    expect(
        bool(files_in(root, before)),
        tracker,
        f"handle() returns although it cannot write {', '.join(sorted(usual)[:2])} (a folder has "
        "this name), so halo takes the events for sent; let the error be raised, and halo calls it "
        "again later",
    )


def _check_runs(tracker: Tracker, place: Path) -> None:
    """Sends two runs, and looks whether the numbers of the first one are still there."""
    given = Workspace(place / "given")
    first, second = given.run("toy-aaaaaa"), make_run(given, "b")
    twin = given.run(f"{first.name}-twin")
    _make_twin(first, twin)
    usual = _sent(tracker, place / "usual", [first, second])
    same = _sent(tracker, place / "same", [first, twin])
    events = [event for event, _ in read_events(first / EVENTS.name)]
    with_numbers(first, events, "kto", step=None)  # Only the curve.
    other = _sent(tracker, place / "other", [first, second])
    with must_not_raise(tracker, "has_run()"):
        has_it = tracker.has_run(Workspace(place / "usual").run(first.name), place / "usual")
    expect(
        usual[0] == other[0] or usual[1] != other[1] or not has_it,
        tracker,
        "handle() of the events of a second run replaces the numbers of the first one, although "
        "has_run() says that it is there; keep the runs apart by the name of their folder",
    )
    # A tracker that shows the newest run only has nothing new to write about its twin.
    first_only = _sent(tracker, place / "first", [second])
    expect(
        same[0] != same[1] or usual[1] == first_only[0],
        tracker,
        "handle() of the events of another run that says the same changes nothing; two runs are "
        "two runs, so keep them apart by the name of their folder",
    )


def _make_twin(run: Path, twin: Path) -> None:
    """Copies a run under another name. Its events are the same, also their times."""
    shutil.copytree(run, twin)
    for file in twin.iterdir():
        text = file.read_text("utf-8")
        file.write_text(text.replace(run.name, twin.name), "utf-8")
    events = [event for event, _ in read_events(run / EVENTS.name)]
    (twin / EVENTS.name).unlink()
    log = EventLog(twin / EVENTS.name)
    for event in events:
        write(log, event, {"run": twin.name} if "run" in event else {})


def _sent(tracker: Tracker, root: Path, runs: Sequence[Path]) -> Sequence[Written]:
    """Returns the files of a tracker after each of some runs, which are copied."""
    copies = [Workspace(root).run(run.name) for run in runs]
    for run, copy in zip(runs, copies, strict=True):
        shutil.copytree(run, copy)
    before = {*root.rglob("*")}
    return [_after(tracker, copy, root, before) for copy in copies]


def _after(tracker: Tracker, run: Path, root: Path, before: set[Path]) -> Written:
    with must_not_raise(tracker, "handle() of a run"):
        _send(tracker, run, root)
    return files_in(root, before)


def _send(tracker: Tracker, run: Path, root: Path) -> None:
    events: Sequence[Event] = [event for event, _ in read_events(run / EVENTS.name)]
    session = tracker.open(run, root)
    try:
        try:
            session.handle(events)
        except StartOver:
            session.handle(events)
    finally:
        session.close()


__all__ = ["check_stored"]
