"""Checks the promises of every tracker: repeated events do no harm, its descriptions are JSON."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.events import Event, read_events
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.made_runs import make_run, make_suite
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.trackers.connections import connections
from halo_core.testing.trackers.tracker_abilities import check_abilities, check_unknown_run
from halo_core.testing.trackers.tracker_descriptions import check_own_page, described
from halo_core.testing.trackers.tracker_files import (
    changed_in,
    hashes_of_run,
    opened_by,
    texts_in,
)
from halo_core.testing.trackers.tracker_numbers import check_curves
from halo_core.testing.trackers.tracker_secrets import marked_environment
from halo_core.testing.trackers.tracker_stores import check_stored
from halo_core.testing.trackers.tracker_waits import never_sleeps
from halo_core.tracker import StartOver, Tracker, TrackerSession
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

PROMPT_S = 5.0
"""Seconds that `open` and `leave` may take: the run waits for them."""

OPEN_S = 2.0
"""Seconds that the faster of two calls of `open` may take."""

END_S = 10.0
"""Seconds that `close`, and `handle` without events, may take."""

LATER: Event = {"v": 1, "time": 1.0, "type": "of-a-later-version", "detail": "unknown"}
"""An event of a type that no version of halo has yet."""


def check_tracker(tracker: Tracker, folder: Path) -> None:
    """Runs `check_component`, `check_session`, `check_abilities`, `check_stored`, `check_curves`.

    Args:
        tracker: A tracker with its options. Its destination must be available.
        folder: An empty folder, which becomes the workspace of two short runs of one suite.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(tracker)

    def events(each: Tracker) -> None:
        check_events(each, folder)

    def effects(each: Tracker) -> None:
        with TemporaryDirectory() as own:
            check_stored(each, Path(own))

    def numbers(each: Tracker) -> None:
        with TemporaryDirectory() as own:
            check_curves(each, Path(own))

    check_rules(tracker, {"events": events, "effects": effects, "numbers": numbers})


def check_events(tracker: Tracker, folder: Path) -> None:
    """Runs `check_session` and `check_abilities` on two short runs of one suite.

    Args:
        tracker: A tracker with its options. Its destination must be available.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    workspace = Workspace(folder.resolve())
    first = make_run(workspace, "a")
    # Its name begins like the first one, which a careless search takes for the same.
    second = make_run(workspace, "b", name=f"{first.name}b")
    suite = make_suite(workspace, [first, second])
    with marked_environment(tracker):
        check_unknown_run(tracker, first, workspace.root)
        told = {
            run.name: check_session(tracker, run, workspace.root, status=status)
            for run, status in ((first, "done"), (second, "failed"))
        }
        check_own_page(tracker, told)
        session = _opened(tracker, second, workspace.root, "open() of the third session")
        _leave(tracker, session, "interrupted")
        with must_not_raise(tracker, "close() of the third session"):
            session.close()
        check_abilities(tracker, [first, second], suite, workspace.root)


def check_session(
    tracker: Tracker, run: Path, workspace: Path, *, status: str = "done"
) -> Mapping[str, Any]:
    """Sends a run in two sessions, event by event and again from the first event.

    Args:
        tracker: The tracker.
        run: A folder with `run.json` and `events.jsonl`.
        workspace: The workspace.
        status: How the run ended, for `leave`.

    Returns:
        Its description of the run.

    Raises:
        AssertionError: When the tracker raises, asks for the first event although it got it,
            describes itself differently before and after it got all events again, connects in
            `open`, blocks in `open`, `leave`, `close` or a sign of life, sleeps in `handle`,
            changes a text file when the same events come again, does not pass over an event that it
            cannot know, or changes the events or a file of the run.
    """
    events = [event for event, _ in read_events(run / EVENTS.name)]
    before, files = copy.deepcopy(events), hashes_of_run(run)
    descriptions: list[Mapping[str, Any]] = []
    opened: list[float] = []
    texts: Mapping[str, str] = {}
    used: Container[str] = ()
    for opening, parts in (("first", [[event] for event in events]), ("second", [events])):
        begun = own_time()
        session = _opened(tracker, run, workspace, f"open() of the {opening} session")
        opened.append(own_time() - begun)
        with opened_by(tracker) as own:
            for part in parts:
                _hand_over(tracker, session, part, events)
        texts = texts_in(workspace, own=own) if opening == "first" else texts
        used = own if opening == "first" else used
        with _in_time(tracker, "handle() of no events, a sign of life,", END_S):
            _hand_over(tracker, session, (), events)
        _hand_over(tracker, session, events, events)
        with must_not_raise(tracker, "describe()"):
            answer: object = session.describe()
        descriptions.append(described(tracker, "describe", answer))
        if opening == "second":
            _check_texts(tracker, texts, texts_in(workspace, own=used))
            with must_not_raise(tracker, f"handle() of an event of the type {LATER['type']!r}"):
                session.handle([LATER])
            _leave(tracker, session, status)
        with (
            _in_time(tracker, f"close() of the {opening} session", END_S),
            must_not_raise(tracker, f"close() of the {opening} session"),
        ):
            session.close()
    # The first one may import a library, which takes its time on a busy machine.
    _check_prompt(tracker, "open()", min(opened), OPEN_S)
    for first, second in pairwise(descriptions):
        expect(first == second, tracker, f"describe() was {first}, and is {second} of the same run")
    expect(
        events == before,
        tracker,
        "handle() changes the events that it is given; other code may read them, so work on a copy",
    )
    changed = changed_in(run, files)
    expect(
        not changed,
        tracker,
        f"it changes or removes {', '.join(changed)} of the run; expected it to read only",
    )
    return descriptions[-1]


def _opened(tracker: Tracker, run: Path, workspace: Path, doing: str) -> TrackerSession:
    session: object = None
    before = {*workspace.rglob("*")}
    with connections() as connected:
        try:
            with must_not_raise(tracker, doing):
                session = tracker.open(run, workspace)
        except AssertionError:
            if not connected:
                raise
    made = sorted(str(p.relative_to(workspace)) for p in {*workspace.rglob("*")} - before)
    expect(
        not any((workspace / name).is_file() for name in made),
        tracker,
        f"{doing} makes {', '.join(made)}; expected it to write in handle(), because a session "
        "that gets no events must leave nothing, and the start of a run must not wait for a store",
    )
    expect(
        not connected,
        tracker,
        f"{doing} connects to {', '.join(connected)}; connect in handle(), because the start of a "
        "run must not wait for a server",
    )
    expect(
        isinstance(session, TrackerSession),
        tracker,
        f"open() returned a {type(session).__name__}; expected a subclass of TrackerSession",
    )
    assert isinstance(session, TrackerSession)
    return session


def _leave(tracker: Tracker, session: TrackerSession, status: str) -> None:
    with (
        _in_time(tracker, "leave()", PROMPT_S),
        must_not_raise(tracker, f"leave() of a run with the status {status!r}"),
    ):
        session.leave(status, "the last events were not taken; halo sync sends them")


@contextmanager
def _in_time(tracker: Tracker, doing: str, limit: float) -> Iterator[None]:
    begun = own_time()
    yield
    _check_prompt(tracker, doing, own_time() - begun, limit)


def _check_texts(tracker: Tracker, once: Mapping[str, str], again: Mapping[str, str]) -> None:
    changed = sorted(name for name, text in once.items() if again.get(name) != text)
    expect(
        not changed,
        tracker,
        f"handle() of the same events again changes {', '.join(changed)}; expected no change, "
        "because `halo sync` and an error send events more than once",
    )


def _check_prompt(tracker: Tracker, doing: str, took: float, limit: float) -> None:
    """Checks that a call did not block."""
    expect(
        took <= limit,
        tracker,
        f"{doing} took {took:.1f} s; expected less than {limit:g} s, because the run waits. "
        "Connect in handle(), which runs at the same time",
    )


def _hand_over(
    tracker: Tracker, session: TrackerSession, events: Sequence[Event], all_events: Sequence[Event]
) -> None:
    """Sends events, or all events if the tracker asks for the first ones."""
    doing = f"handle() of {len(events)} events"
    with never_sleeps(tracker, doing), must_not_raise(tracker, doing):
        try:
            session.handle(events)
        except StartOver:
            expect(
                events[:1] != all_events[:1],
                tracker,
                "handle() raised StartOver, although it was given the run's first events",
            )
            session.handle(all_events)


__all__ = ["check_abilities", "check_session", "check_tracker"]
