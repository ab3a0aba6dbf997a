"""Checks that a tracker keeps several runs in one store, and says if the store takes nothing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from halo_core.events import Event, read_events
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import make_run
from halo_core.testing.trackers.tracker_effects import check_effects, written_one_by_one
from halo_core.testing.trackers.tracker_events import with_numbers
from halo_core.testing.trackers.tracker_files import Written, files_in
from halo_core.testing.trackers.tracker_secrets import marked_environment
from halo_core.tracker import StartOver, Tracker
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

LONG_S = 1.5
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
    written = []
    given = Workspace(place / "given")
    runs = [given.run("toy-aaaaaa"), make_run(given, "b")]
    events = [event for event, _ in read_events(runs[0] / EVENTS.name)]
    for name in ("usual", "other"):
        if name == "other":
            with_numbers(runs[0], events, "kto", step=None)  # Only the curve.
        root = place / name
        first, second = (Workspace(root).run(each.name) for each in runs)
        for run, copy in zip(runs, (first, second), strict=True):
            shutil.copytree(run, copy)
        before = {*root.rglob("*")}
        alone = _after(tracker, first, root, before)
        both = _after(tracker, second, root, before)
        with must_not_raise(tracker, "has_run()"):
            written.append((alone, both, tracker.has_run(first, root)))
    (alone, both, has_it), (other_alone, other_both, _) = written
    expect(
        alone == other_alone or both != other_both or not has_it,
        tracker,
        "handle() of the events of a second run replaces the numbers of the first one, although "
        "has_run() says that it is there; keep the runs apart by the name of their folder",
    )


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
