"""Checks what a tracker writes, however events are cut, and what it leaves after its session."""

from __future__ import annotations

import gc
import inspect
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.events import Event, read_events
from halo_core.testing.advice import advise
from halo_core.testing.alike_events import write_events
from halo_core.testing.alike_words import of_words
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.left_running import LINGER_S, still_running, threads_of
from halo_core.testing.made_runs import with_other_numbers
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.trackers.tracker_events import make_alike_run, with_numbers
from halo_core.testing.trackers.tracker_files import (
    Written,
    drafts_in,
    files_in,
    open_below,
    opened_by,
)
from halo_core.testing.trackers.tracker_secrets import (
    check_reveals_nothing,
    marked_environment,
    only_inside,
)
from halo_core.testing.trackers.tracker_warnings import check_warnings
from halo_core.tracker import StartOver, Tracker, TrackerSession
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

SLOW_S = 0.2
"""Seconds that the fastest event may take: a run has several of them in a second."""

LONG_S = 1.5
"""Seconds of a session from which further ones are left out: they would take too long."""

Parts = Sequence[Sequence[Sequence[Event]]]
"""The events of each call of `handle`, for each session."""


def check_effects(tracker: Tracker, folder: Path) -> None:
    """Sends the events of one run in several ways, each into an empty workspace.

    The files are compared only if the same calls write the same files twice. The run has two
    stages with alike ids, letters that are not in ASCII, and a warning that belongs to no stage.

    Args:
        tracker: The tracker.
        folder: An empty folder, in which the workspaces are made.

    Raises:
        AssertionError: When it writes outside of the workspace; when it writes something else for
            events in one list than one by one, or in two sessions than in one, also if the first
            one was killed; when it keeps something for the next session; when it uses the numbers
            of only one of two stages whose metrics have the same names, takes equal warnings of
            two stages for one, or calls a failed run done or a wrong checkpoint the best; when it
            leaves a file open, a draft, or a thread of its own running; when it writes an
            environment variable or a secret; or when each event takes longer than `SLOW_S`.
    """
    root = folder.resolve() / "workspaces" / "deep" / "workspace"
    root.parent.mkdir(parents=True)
    run = make_alike_run(folder.resolve() / "given")
    events = [event for event, _ in read_events(run / EVENTS.name)]
    with only_inside(tracker, folder.resolve()), marked_environment(tracker):
        _check_written(tracker, run, root, events)


def _check_written(tracker: Tracker, run: Path, root: Path, events: Sequence[Event]) -> None:
    one_by_one: Parts = [[[event] for event in events]]
    begun = own_time()
    none = _written(tracker, run, root, [[]])
    with _leaves_nothing_open(tracker) as started:
        usual = _written(tracker, run, root, one_by_one)
    if own_time() - begun > LONG_S:
        return
    if not usual or _written(tracker, run, root, one_by_one) != usual:
        return  # It writes nothing here, or something that is new each time, such as an id.
    if usual == none:
        advise(tracker, "handle() of all events of a run writes nothing more than of none")
    elif (kept := _first_difference(none, _written(tracker, run, root, [[]]))) != "":
        expect(
            False,
            tracker,
            f"a session without events writes another {kept} after the sessions of other runs; "
            "keep nothing in a class or a module, or runs of one process are mixed",
        )
    half = len(events) // 2
    halves: Parts = [[[e] for e in events[:half]], [events[half:]]]
    ways: dict[str, tuple[Parts, bool]] = {
        "in one list": ([[events]], False),
        "in two sessions, as after a restart": (halves, False),
    }
    if not started:  # A thread would continue after the session that counts as killed.
        ways["in two sessions, of which the first one was killed"] = (halves, True)
    for what, (parts, killed) in ways.items():
        differs = _first_difference(usual, _written(tracker, run, root, parts, killed=killed))
        expect(
            not differs,
            tracker,
            f"handle() of the same events {what} writes another {differs} than one by one in one "
            "session; expected the same. Read all events of each list, and keep nothing only in "
            "memory (or raise StartOver to get all events)",
        )
    _check_stages(tracker, run, root, usual)
    _check_curves(tracker, run, root, events)
    check_warnings(tracker, run, events, lambda: written_one_by_one(tracker, run, root))
    _check_words(tracker, run, root, events)


def _check_stages(tracker: Tracker, run: Path, root: Path, usual: Written) -> None:
    text = (run / EVENTS.name).read_text("utf-8")
    matters = {}
    for stage in _stages(run):
        with_other_numbers(run, text, stage)
        matters[stage] = written_one_by_one(tracker, run, root) != usual
    (run / EVENTS.name).write_text(text, "utf-8")
    silent = [stage for stage, is_used in matters.items() if not is_used]
    expect(
        len(silent) != 1,
        tracker,
        f"handle() writes the same with other numbers of the stage {silent[0] if silent else ''!r},"
        f" but not with those of the other stage ({', '.join(matters)}). The metrics of both have "
        "the same names: keep them apart by `stage`, as it is written",
    )


def _check_curves(tracker: Tracker, run: Path, root: Path, events: Sequence[Event]) -> None:
    """Checks that a later stage does not replace the curve of an earlier one.

    A tracker that shows the newest numbers only keeps no curve, and so it may do this.
    """
    first, _ = _stages(run)
    end = next(n for n, e in enumerate(events) if e["type"] == "stage-ended") + 1
    steps = [e["step"] for e in events[:end] if e["type"] == "metrics"]

    def matters(some: Sequence[Event], step: int | None) -> bool:
        written = []
        for changed in ("", first):
            with_numbers(run, some, changed, step=step)
            written.append(written_one_by_one(tracker, run, root))
        return written[0] != written[1]

    replaced = not matters(events, None) and matters(events[:end], steps[0])
    with_numbers(run, events, "", step=None)
    expect(
        not replaced,
        tracker,
        f"handle() keeps the curve of the stage {first!r} until a later stage has metrics of the "
        "same names at the same steps, which replace it; keep the stages apart by `stage`",
    )


def _check_words(tracker: Tracker, run: Path, root: Path, events: Sequence[Event]) -> None:
    """Checks that the tracker calls no failed run done, and no wrong checkpoint the best one."""

    def output(changed: Sequence[Event]) -> bytes:
        write_events(run, [{n: v for n, v in e.items() if n != "crc"} for e in changed])
        written = written_one_by_one(tracker, run, root)
        return b"\0".join(written[name] for name in sorted(written))

    for fault in of_words(output, events):
        expect(not fault, tracker, f"handle(): {fault}")
    output(events)


def _stages(run: Path) -> Sequence[str]:
    first, *_ = read_events(run / EVENTS.name)
    stages: Sequence[str] = first[0]["stages"]
    return stages


def written_one_by_one(tracker: Tracker, run: Path, root: Path) -> Written:
    """Returns the files that a tracker writes for the events of a run, sent one by one.

    Args:
        tracker: The tracker.
        run: The run, which is copied.
        root: The place of the workspace, to which a number is added.
    """
    parts = [[[event] for event, _ in read_events(run / EVENTS.name)]]
    return _written(tracker, run, root, parts)


def _written(
    tracker: Tracker, given: Path, root: Path, sessions: Parts, *, killed: bool = False
) -> Written:
    """Returns the files that sessions write into an empty workspace, without those of the run.

    Args:
        tracker: The tracker.
        given: The run, which is copied.
        root: The place of the workspace, to which a number is added.
        sessions: The events of each call of `handle`, for each session.
        killed: Whether all sessions but the last one stop without a further call.
    """
    # A place of its own, because a library may still have the files of the last one open.
    root = Path(tempfile.mkdtemp(prefix="workspace-", dir=root.parent)).resolve()
    run = Workspace(root).run(given.name)
    shutil.copytree(given, run)
    before = {*run.rglob("*")}
    with opened_by(tracker) as opened:
        last = _held(tracker, run, root, sessions, killed)
    _check_left(tracker, root, opened)
    del last  # Until here, so that it still has what it did not close.
    return files_in(root, before)


def _held(tracker: Tracker, run: Path, root: Path, sessions: Parts, killed: bool) -> TrackerSession:
    """Holds sessions, and returns the last one, which is closed."""
    everything = [event for event, _ in read_events(run / EVENTS.name)]
    took = [0.0]
    for number, parts in enumerate(sessions, start=1):
        with must_not_raise(tracker, "open()"):
            session = tracker.open(run, root)
        _check_description(tracker, session, "describe() before the first event")
        took = []
        for part in parts:
            begun = own_time()
            with must_not_raise(tracker, f"handle() of {len(part)} events"):
                try:
                    session.handle(part)
                except StartOver:
                    session.handle(everything)
            took.append(own_time() - begun)
        if killed and number < len(sessions):
            continue
        with must_not_raise(tracker, "handle() of no events, a sign of life"):
            session.handle([])
        answer = _check_description(tracker, session, "describe()")
        with must_not_raise(tracker, "close()"):
            session.close()
        check_reveals_nothing(tracker, root, answer)
    expect(
        len(took) < 2 or min(took) <= SLOW_S,
        tracker,
        f"handle() of one event takes {min(took, default=0):.2g} s; expected less than {SLOW_S:g} "
        "s, because a run has several in a second",
    )
    return session


def _check_description(tracker: Tracker, session: TrackerSession, doing: str) -> Mapping[str, Any]:
    """Checks that a session describes itself, whatever it has handled, and returns this."""
    with must_not_raise(tracker, doing):
        answer: object = session.describe()
    expect(
        isinstance(answer, Mapping),
        tracker,
        f"{doing} is {answer!r}; expected a mapping, which is empty if there is nothing to show",
    )
    assert isinstance(answer, Mapping)
    return answer


def _check_left(tracker: Tracker, root: Path, opened: Container[str]) -> None:
    """Checks that no file of those that it opened is still open, and that no draft is left."""
    unclosed = open_below(root, opened)
    if unclosed:
        gc.collect()  # Another rule reports an object that is closed by chance.
        unclosed = open_below(root, opened)
    expect(
        not unclosed,
        tracker,
        f"after close(), {', '.join(unclosed)} is still open; close it in close(), because halo "
        "sync opens a session for each run in one process",
    )
    drafts = drafts_in(root)
    expect(
        not drafts,
        tracker,
        f"it leaves the draft {', '.join(drafts)}; rename it (os.replace), or remove it",
    )


def _first_difference(usual: Written, other: Written) -> str:
    names = sorted({*usual, *other})
    return next((name for name in names if usual.get(name) != other.get(name)), "")


@contextmanager
def _leaves_nothing_open(tracker: Tracker) -> Iterator[list[threading.Thread]]:
    """Checks that code of the tracker's file leaves no file open and no thread running.

    It yields a list, which gets the threads.
    """
    mine = inspect.getsourcefile(type(tracker)) or ""
    with threads_of(tracker) as started, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        yield started
    unclosed = [str(each.message) for each in told if each.filename == mine]
    expect(not unclosed, tracker, f"handle() leaves a file to be closed by chance: {unclosed[:1]}")
    running = still_running(started, time.monotonic() + LINGER_S)
    expect(
        not running,
        tracker,
        f"after close(), its thread {', '.join(running)} still runs; end it in close()",
    )


__all__ = ["check_effects", "written_one_by_one"]
