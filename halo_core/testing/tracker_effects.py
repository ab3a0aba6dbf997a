"""Checks what a tracker writes, however events are cut, and what it leaves after its session."""

from __future__ import annotations

import inspect
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

from halo_core.events import Event, read_events
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import STAGES, make_run, with_other_numbers, with_second_stage
from halo_core.tracker import StartOver, Tracker
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

SLOW_S = 0.2
"""Seconds that the fastest event may take: a run has several of them in a second."""

LONG_S = 4.0
"""Seconds of a session from which further ones are left out: they would take too long."""

LINGER_S = 1.0
"""Seconds after which a thread of a closed session must have ended."""

LARGEST = 1_000_000
"""Size in bytes of a file above which it is not compared."""

Written = Mapping[str, bytes]
Parts = Sequence[Sequence[Sequence[Event]]]
"""The events of each call of `handle`, for each session."""


def check_effects(tracker: Tracker, folder: Path) -> None:
    """Sends the events of one run in several ways, each into an empty workspace.

    The files are compared only if the same calls write the same files twice.

    Args:
        tracker: The tracker.
        folder: An empty folder, in which the workspaces are made.

    Raises:
        AssertionError: When it writes something else for events in one list than one by one, or in
            two sessions than in one; when it uses the numbers of only one of two stages whose
            metrics have the same names; when it leaves a file open or a thread of its own running;
            or when each event takes longer than `SLOW_S`.
    """
    root = folder.resolve() / "workspace"
    run = make_run(Workspace(folder.resolve() / "given"), "a")
    with_second_stage(run)
    text = (run / EVENTS.name).read_text("utf-8")
    events = [event for event, _ in read_events(run / EVENTS.name)]
    one_by_one: Parts = [[[event] for event in events]]
    begun = time.monotonic()
    with _leaves_nothing_open(tracker):
        usual = _written(tracker, run, root, one_by_one)
    if time.monotonic() - begun > LONG_S:
        return
    none = _written(tracker, run, root, [[]])
    if not usual or _written(tracker, run, root, one_by_one) != usual:
        return  # It writes nothing here, or something that is new each time, such as an id.
    if usual == none:
        advise(tracker, "handle() of all events of a run writes nothing more than of none")
    half = len(events) // 2
    for what, parts in {
        "in one list": [[events]],
        "in two sessions, as after a restart": [[[e] for e in events[:half]], [events[half:]]],
    }.items():
        differs = _first_difference(usual, _written(tracker, run, root, parts))
        expect(
            not differs,
            tracker,
            f"handle() of the same events {what} writes another {differs} than one by one in one "
            "session; expected the same. Read all events of each list, and keep nothing only in "
            "memory (or raise StartOver to get all events)",
        )
    _check_stages(tracker, run, root, text, usual)


def _check_stages(tracker: Tracker, run: Path, root: Path, text: str, usual: Written) -> None:
    matters = {}
    for stage in STAGES:
        with_other_numbers(run, text, stage)
        parts = [[[event] for event, _ in read_events(run / EVENTS.name)]]
        matters[stage] = _written(tracker, run, root, parts) != usual
    silent = [stage for stage, is_used in matters.items() if not is_used]
    expect(
        len(silent) != 1,
        tracker,
        f"handle() writes the same with other numbers of the stage {silent[0] if silent else ''!r},"
        " but not with those of the other stage. The metrics of both have the same names: keep them"
        " apart by `stage`",
    )


def _written(tracker: Tracker, given: Path, root: Path, sessions: Parts) -> Written:
    """Returns the files that sessions write into an empty workspace, without those of the run."""
    # A place of its own, because a library may still have the files of the last one open.
    root = Path(tempfile.mkdtemp(prefix="workspace-", dir=root.parent)).resolve()
    run = Workspace(root).run(given.name)
    shutil.copytree(given, run)
    before = {*run.rglob("*")}
    everything = [event for event, _ in read_events(run / EVENTS.name)]
    took = [0.0]
    for parts in sessions:
        with must_not_raise(tracker, "open()"):
            session = tracker.open(run, root)
        with must_not_raise(tracker, "describe() before the first event"):
            session.describe()
        took = []
        for part in parts:
            begun = time.perf_counter()
            with must_not_raise(tracker, f"handle() of {len(part)} events"):
                try:
                    session.handle(part)
                except StartOver:
                    session.handle(everything)
            took.append(time.perf_counter() - begun)
        with must_not_raise(tracker, "handle() of no events, a sign of life"):
            session.handle([])
        with must_not_raise(tracker, "close()"):
            session.close()
    expect(
        len(took) < 2 or min(took) <= SLOW_S,
        tracker,
        f"handle() of one event takes {min(took, default=0):.2g} s; expected less than {SLOW_S:g} "
        "s, because a run has several in a second",
    )
    files = [path for path in sorted(root.rglob("*")) if path not in before]
    return {
        str(path.relative_to(root)): path.read_bytes().replace(bytes(root), b"workspace")
        for path in files
        if path.is_file() and path.stat().st_size <= LARGEST and path.suffix != ".log"
    }


def _first_difference(usual: Written, other: Written) -> str:
    names = sorted({*usual, *other})
    return next((name for name in names if usual.get(name) != other.get(name)), "")


@contextmanager
def _leaves_nothing_open(tracker: Tracker) -> Iterator[None]:
    """Checks that code of the tracker's file leaves no file open and no thread running."""
    mine = inspect.getsourcefile(type(tracker)) or ""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        if _code_of_caller().co_filename == mine:
            started.append(thread)
        start(thread)

    threading.Thread.start = noted  # type: ignore[method-assign, assignment]
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
    unclosed = [str(each.message) for each in told if each.filename == mine]
    expect(not unclosed, tracker, f"handle() leaves a file to be closed by chance: {unclosed[:1]}")
    end = time.monotonic() + LINGER_S
    for thread in started:
        thread.join(max(0.0, end - time.monotonic()))
    running = [thread.name for thread in started if thread.is_alive()]
    expect(
        not running,
        tracker,
        f"after close(), its thread {', '.join(running)} still runs; end it in close()",
    )


def _code_of_caller() -> CodeType:
    return sys._getframe(2).f_code


__all__ = ["check_effects"]
