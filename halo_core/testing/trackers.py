"""Checks the promises of every tracker: repeated events do no harm, its descriptions are JSON."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.events import Event, read_events
from halo_core.hashing import file_hash
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.made_runs import make_run, make_suite
from halo_core.testing.tracker_effects import check_effects
from halo_core.tracker import StartOver, SuiteStatus, Tracker, TrackerSession
from halo_core.tracking.descriptions import describe_all
from halo_core.workspace.files import write_text
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

PROMPT_S = 5.0
"""Seconds that `open` and `leave` may take: the run waits for them."""

LARGEST = 1_000_000
"""Size in bytes of a text file above which it is not compared."""

LATER: Event = {"v": 1, "time": 1.0, "type": "of-a-later-version", "detail": "unknown"}
"""An event of a type that no version of halo has yet."""


def check_tracker(tracker: Tracker, folder: Path) -> None:
    """Runs `check_component`, `check_session`, `check_abilities` and `check_effects`.

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
            check_effects(each, Path(own))

    check_rules(tracker, {"events": events, "effects": effects})


def check_events(tracker: Tracker, folder: Path) -> None:
    """Runs `check_session` and `check_abilities` on two short runs of one suite.

    Args:
        tracker: A tracker with its options. Its destination must be available.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    workspace = Workspace(folder.resolve())
    first, second = (make_run(workspace, cell) for cell in ("a", "b"))
    suite = make_suite(workspace, [first, second])
    check_session(tracker, first, workspace.root)
    check_session(tracker, second, workspace.root)
    check_abilities(tracker, [first, second], suite, workspace.root)


def check_session(tracker: Tracker, run: Path, workspace: Path) -> None:
    """Sends a run in two sessions, event by event and again from the first event.

    Args:
        tracker: The tracker.
        run: A folder with `run.json` and `events.jsonl`.
        workspace: The workspace.

    Raises:
        AssertionError: When the tracker raises, asks for the first event although it got it,
            describes itself differently before and after it got all events again, takes more than
            `PROMPT_S` seconds for both calls of `open` or for `leave`, changes a text file when the
            same events come again, does not pass over an event that it cannot know, or changes the
            events or a file of the run.
    """
    events = [event for event, _ in read_events(run / EVENTS.name)]
    before, files = copy.deepcopy(events), _hashes(run)
    descriptions: list[Mapping[str, Any]] = []
    opened: list[float] = []
    texts: Mapping[str, str] = {}
    for opening, parts in (("first", [[event] for event in events]), ("second", [events])):
        begun = time.monotonic()
        with must_not_raise(tracker, f"open() of the {opening} session"):
            session: object = tracker.open(run, workspace)
        opened.append(time.monotonic() - begun)
        expect(
            isinstance(session, TrackerSession),
            tracker,
            f"open() returned a {type(session).__name__}; expected a subclass of TrackerSession",
        )
        assert isinstance(session, TrackerSession)
        for part in parts:
            _hand_over(tracker, session, part, events)
        texts = _texts(workspace) if opening == "first" else texts
        for some in ((), events):
            _hand_over(tracker, session, some, events)
        with must_not_raise(tracker, "describe()"):
            described: object = session.describe()
        descriptions.append(_described(tracker, "describe", described))
        if opening == "second":
            _check_texts(tracker, texts, _texts(workspace))
            with must_not_raise(tracker, f"handle() of an event of the type {LATER['type']!r}"):
                session.handle([LATER])
            begun = time.monotonic()
            with must_not_raise(tracker, "leave()"):
                session.leave("done", "the last events were not taken; halo sync sends them")
            _check_prompt(tracker, "leave()", time.monotonic() - begun)
        with must_not_raise(tracker, f"close() of the {opening} session"):
            session.close()
    # The first one may import a library, which takes its time on a busy machine.
    _check_prompt(tracker, "open()", min(opened))
    for first, second in pairwise(descriptions):
        expect(first == second, tracker, f"describe() was {first}, and is {second} of the same run")
    expect(
        events == before,
        tracker,
        "handle() changes the events that it is given; other code may read them, so work on a copy",
    )
    changed = sorted(name for name, digest in files.items() if _hashes(run).get(name) != digest)
    expect(
        not changed,
        tracker,
        f"it changes or removes {', '.join(changed)} of the run; expected it to read only",
    )


def check_abilities(tracker: Tracker, runs: Sequence[Path], suite: Path, workspace: Path) -> None:
    """Calls the optional methods of a tracker, each of them twice. Deletes the first run and suite.

    Args:
        tracker: The tracker.
        runs: The folders of runs that it got.
        suite: The folder of their suite.
        workspace: The workspace.

    Raises:
        AssertionError: When a method raises, or returns something that its interface does not
            allow.
    """
    statuses: tuple[SuiteStatus, ...] = ("pending", "running", "running", "done")
    for status in statuses:
        with must_not_raise(tracker, f"tell_suite(..., {status!r})"):
            answer: object = tracker.tell_suite(suite, workspace, status)
        _described(tracker, "tell_suite", answer)
    report = suite / "report"
    write_text(report / "report.html", "<p>report</p>\n")
    for _ in range(2):
        with must_not_raise(tracker, "take_report()"):
            taken: object = tracker.take_report(report, suite, workspace)
        expect(isinstance(taken, bool), tracker, f"take_report() gave {taken!r}; expected a bool")
    with must_not_raise(tracker, "has_run()"):
        there: object = tracker.has_run(runs[0], workspace)
    expect(
        there in (True, None),
        tracker,
        f"has_run() of a run whose events it took gave {there!r}; expected True, or None",
    )
    unknown = runs[0].with_name("toy-ffffff")
    with must_not_raise(tracker, "has_run() of a run that it does not know"):
        there = tracker.has_run(unknown, workspace)
    expect(
        there in (False, None),
        tracker,
        f"has_run() of a run that it was never given gave {there!r}; expected False, or None",
    )
    _check_comparison(tracker, runs, unknown, workspace)
    _check_deletion(tracker, runs[0], suite, workspace)


def _check_deletion(tracker: Tracker, run: Path, suite: Path, workspace: Path) -> None:
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


def _check_comparison(
    tracker: Tracker, runs: Sequence[Path], unknown: Path, workspace: Path
) -> None:
    asked = [*runs, unknown]
    with must_not_raise(tracker, "compare_runs()"):
        comparison = _described(tracker, "compare_runs", tracker.compare_runs(asked, workspace))
    absent = comparison.get("absent", [])
    known = [str(run) for run in asked]
    expect(
        isinstance(absent, list) and all(run in known for run in absent),
        tracker,
        f"compare_runs() gave {absent!r} as 'absent'; expected folders of runs it was asked for",
    )


def _texts(workspace: Path) -> Mapping[str, str]:
    """Returns the small text files of a workspace, without logs and the folders of the runs.

    A log says what a library did, and so it says twice what was done twice.
    """
    found = {}
    for path in sorted(workspace.rglob("*")):
        inner = path.relative_to(workspace)
        if inner.parts[0] == "runs" or path.suffix == ".log":
            continue
        # It is a database, whose content nobody can compare, or another thread removes it.
        with suppress(UnicodeDecodeError, OSError):
            if path.is_file() and path.stat().st_size <= LARGEST:
                found[str(inner)] = path.read_text("utf-8")
    return found


def _check_texts(tracker: Tracker, once: Mapping[str, str], again: Mapping[str, str]) -> None:
    changed = sorted(name for name, text in once.items() if again.get(name) != text)
    expect(
        not changed,
        tracker,
        f"handle() of the same events again changes {', '.join(changed)}; expected no change, "
        "because `halo sync` and an error send events more than once",
    )


def _hashes(run: Path) -> Mapping[str, str]:
    """Returns the hash of each file that a run has before a tracker sees it."""
    return {path.name: file_hash(path) for path in run.iterdir() if path.is_file()}


def _check_prompt(tracker: Tracker, doing: str, took: float) -> None:
    """Checks that a call did not block."""
    expect(
        took <= PROMPT_S,
        tracker,
        f"{doing} took {took:.1f} s; expected less than {PROMPT_S:g} s, because the run waits. "
        "Connect in handle(), which runs at the same time",
    )


def _hand_over(
    tracker: Tracker, session: TrackerSession, events: Sequence[Event], all_events: Sequence[Event]
) -> None:
    """Sends events, or all events if the tracker asks for the first ones."""
    with must_not_raise(tracker, f"handle() of {len(events)} events"):
        try:
            session.handle(events)
        except StartOver:
            expect(
                events[:1] != all_events[:1],
                tracker,
                "handle() raised StartOver, although it was given the run's first events",
            )
            session.handle(all_events)


def _described(tracker: Tracker, call: str, answer: object) -> Mapping[str, Any]:
    """Returns a description as halo shows it; an empty one if nothing is offered."""
    problems: list[BaseException] = []
    descriptions = describe_all(
        {"it": tracker}, call, lambda _: answer, lambda _, error: problems.append(error)
    )
    expect(not problems, tracker, str(problems[0]) if problems else "")
    if isinstance(answer, Mapping) and answer:
        expect("label" in answer, tracker, f"{call}() gave no 'label', its name for people")
    return descriptions.get("it", {})


__all__ = ["check_abilities", "check_session", "check_tracker"]
