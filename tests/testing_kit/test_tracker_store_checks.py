"""The test kit finds what a tracker writes wrongly into its store, and lets a right one pass."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from pydantic import Field

from halo_core import Secret, Tracker, TrackerSession
from halo_core.check import kind_rules
from halo_core.check.rule import NotHereError
from halo_core.testing.trackers.rules import check_events
from halo_core.testing.trackers.tracker_effects import check_effects
from halo_core.testing.trackers.tracker_numbers import check_curves
from halo_core.testing.trackers.tracker_stores import check_stored

KEPT: dict[str, Any] = {}


class Curves(Tracker):
    """Keeps the curves and the final numbers of a run in a JSON file of the workspace."""

    fault: str = Field(default="", description="Its mistake.")
    key: Secret | None = Field(default=None, description="The key of a server.")

    def file(self, run: Path, workspace: Path) -> Path:
        outside = "../../" if self.fault == "outside" else ""
        name = "all" if self.fault in ("one file", "says once") else run.name
        return workspace / f"{outside}curves" / f"{name}.json"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        if self.fault == "open connects":
            with suppress(OSError), socket.socket() as server:
                server.connect(("127.0.0.1", 9))
        if self.fault == "opens a file":
            (workspace / "curves.txt").touch()
        return Session(self, self.file(run, workspace))

    def has_run(self, run: Path, workspace: Path) -> bool:
        file = self.file(run, workspace)
        if self.fault == "prefix":
            return any(file.parent.glob(f"{run.name[:8]}*"))
        if self.fault == "makes it known" and file.parent.is_dir():
            file.touch()
        elif self.fault == "makes a file":
            (workspace / "asked.txt").touch()
        return file.is_file() and self.fault != "says once"

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        file = self.file(folder, workspace)
        if self.fault == "removes the run":
            shutil.rmtree(folder, ignore_errors=True)
        patterns = {"purges": "*", "deletes alike": f"{folder.name}*"}
        pattern = patterns.get(self.fault, file.name)
        for each in file.parent.glob(pattern) if file.parent.is_dir() else []:
            if self.fault == "deletes":
                each.unlink()
            else:
                each.rename(each.with_name(f"{each.name}.deleted"))
        return True

    def tell_suite(self, suite: Path, workspace: Path, status: str) -> Mapping[str, object]:
        with (workspace / "suites.txt").open("a" if self.fault == "suite" else "w") as file:
            file.write(f"{suite.name} {status}\n")
        return {"label": "Curves"}

    def take_report(self, report: Path, suite: Path, workspace: Path) -> bool:
        target = workspace / "report-of-the-suite.html"
        if self.fault != "old report" or not target.exists():
            take: Callable[..., Any] = shutil.move if self.fault == "moves" else shutil.copy
            take(report / "report.html", target)
        return True

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
        absent = [str(run) for run in runs if not self.has_run(run, workspace)]
        return {"label": "Curves", "absent": [] if self.fault == "absent" else absent}


class Session(TrackerSession):
    def __init__(self, of: Curves, file: Path) -> None:
        self._of, self._file = of, file
        self._waiting: list[Mapping[str, Any]] = []
        self._log: IO[str] | None = None
        self._seen: set[str] = set()

    def _curve(self, state: dict[str, Any], stage: str) -> dict[str, Any]:
        names = {"one curve": "all", "letters": stage.lower(), "cut": stage[:3]}
        curve: dict[str, Any] = state.setdefault(names.get(self._of.fault, stage), {})
        return curve

    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        fault, file = self._of.fault, self._file
        file.parent.mkdir(parents=True, exist_ok=True)
        if fault == "waits":
            events, self._waiting = self._waiting, list(events)
        elif fault == "stays open":
            self._log = self._log or file.with_suffix(".log").open("w")
        elif fault == "rows":
            with closing(sqlite3.connect(file.with_name("points.sqlite"))) as base, base:
                base.execute("create table if not exists points (type text)")
                types = [(event["type"],) for event in events]
                base.executemany("insert into points values (?)", types)
        elif fault == "clock":
            with closing(sqlite3.connect(file.with_name("clock.sqlite"))) as base, base:
                base.execute("create table if not exists runs (name text primary key, at real)")
                base.execute("insert or replace into runs values (?, ?)", (file.stem, time.time()))
        fresh = fault == "one file" and events and events[0]["type"] == "run-started"
        state = json.loads(file.read_text()) if file.is_file() and not fresh else {}
        for event in events:
            if fault == "ascii":
                str(event).encode("ascii")
            elif fault == "no stage":
                len(event.get("stage", ""))
            if event["type"] == "metrics":
                self._keep(self._curve(state, event["stage"]), event)
            elif event["type"] == "stage-ended":
                state[f"{event['stage'][:3] if fault == 'cut' else event['stage']}/"] = event[
                    "metrics"
                ]
        if fault == "environment":
            state["environment"] = dict(os.environ)
        elif fault == "secret" and self._of.key is not None:
            state["key"] = self._of.key.reveal()
        elif fault == "class":
            state = KEPT.setdefault("state", {}) | state
            KEPT["state"] = state
        text = json.dumps(state, sort_keys=True)
        if fault == "draft":
            file.with_suffix(".tmp").write_text(text)
        try:
            file.write_text(text)
        except OSError:
            if fault != "swallows":
                raise

    def _keep(self, curve: dict[str, Any], event: Mapping[str, Any]) -> None:
        """Keeps the metrics of a step, with one mistake."""
        fault, step, numbers = self._of.fault, f"{event['step']:04}", dict(event["metrics"])
        if fault == "first metric":
            numbers = dict([*numbers.items()][:1])
        change = {"rounds": lambda v: round(v, 3), "whole": int, "no sign": abs}.get(fault)
        if change is not None:
            numbers = {name: change(value) for name, value in numbers.items()}
        if fault == "exchanged":
            numbers = dict(zip(numbers, sorted(numbers.values()), strict=True))
        if fault == "first value":
            curve.setdefault(step, numbers)
        elif fault == "says once":
            curve[f"{step} at {event['time']}"] = numbers
        elif fault == "counts":
            curve[f"{len(curve) + (step not in self._seen)}"] = numbers
            self._seen.add(step)
        elif fault != "tenth" or not event["step"] % 10:
            curve[step] = numbers

    def describe(self) -> Mapping[str, object]:
        if self._of.fault == "describes nothing" and not self._seen:
            return None  # type: ignore[return-value]
        first = KEPT.setdefault("first", self._file)
        urls = {
            "relative": self._file.name,
            "no page": self._file.with_suffix(".html").as_uri(),
            "other page": first.as_uri() if isinstance(first, Path) else "",
        }
        return {"label": "Curves", "url": urls.get(self._of.fault, self._file.as_uri())}

    def leave(self, status: str, reason: str) -> None:
        if self._of.fault == "leaves done runs only":
            {"done": 1}[status]


class Rows(Curves):
    """Keeps the numbers in an SQLite database, which has counters of its own."""

    def file(self, run: Path, workspace: Path) -> Path:
        return workspace / f"{run.name}.sqlite"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return RowsSession(self, self.file(run, workspace))


class RowsSession(Session):
    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        with closing(sqlite3.connect(self._file)) as database, database:
            database.execute(
                "create table if not exists n (stage, name, x, primary key (stage, name))"
            )
            for event in events:
                for name, number in event.get("metrics", {}).items():
                    at = f"{event['stage']} {event.get('step', 'end')}"
                    database.execute("replace into n values (?, ?, ?)", (at, name, number))


class Posts(Curves):
    """Sends events to a server that is away."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return PostsSession(self, self.file(run, workspace))


class PostsSession(Session):
    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))  # Nobody listens there.
            socket.create_connection(free.getsockname())


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    KEPT.clear()


@pytest.mark.parametrize("tracker", [Rows(), Curves(key=Secret("HALO_NOT_SET"))])
def test_a_tracker_with_a_right_store_passes(tracker: Tracker, tmp_path: Path) -> None:
    check_events(tracker, tmp_path / "events")
    check_effects(tracker, tmp_path / "effects")
    assert "HALO_NOT_SET" not in os.environ


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("open connects", "open() of the first session connects to 127.0.0.1:9; connect in handle"),
        ("prefix", "never given gave True; expected False, or None (it was asked for toy-aaaaa,"),
        ("makes it known", "has_run() of a run that it was never given gave True"),
        ("makes a file", "has_run() before the first event writes asked.txt; expected it to look"),
        (
            "deletes alike",
            "after mark_deleted() of toy-aaaaaa, has_run() of toy-aaaaaab gave False",
        ),
        (
            "rows",
            "handle() of the same events again changes curves/points.sqlite; expected no change",
        ),
        ("removes the run", "mark_deleted() changes or removes events.jsonl, run.json, spec"),
        ("purges", "has_run() of toy-aaaaaab gave False; expected True, as before"),
        (
            "deletes",
            "mark_deleted() removes curves/toy-aaaaaa.json; expected it to mark the run as",
        ),
        ("opens a file", "open() of the first session makes curves.txt; expected it to write in h"),
        ("clock", "handle() of the same events again changes curves/clock.sqlite; expected no"),
        ("suite", "tell_suite(..., 'running') a second time changes suites.txt; expected no"),
        ("old report", "take_report() of another report changes nothing, although the first one"),
        ("moves", "take_report() changes or removes the files of the report; expected it to copy"),
        ("absent", "compare_runs() does not name toy-ffffff as 'absent', and has_run() of it"),
        ("relative", "describe() gave 'toy-aaaaaa.json' as 'url'; expected a whole address"),
        ("no page", "toy-aaaaaa.html' as 'url', and there is no such file"),
        ("other page", "which names the run toy-aaaaaa; expected its own page"),
        ("leaves done runs only", "leave() of a run with the status 'failed' raised KeyError"),
    ],
)
def test_a_wrong_answer_about_the_store_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check_events(Curves(fault=fault), tmp_path)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("outside", "/curves; writes or removes"),
        ("one curve", "handle() keeps the curve of the stage 'answer-A1' until a later stage"),
        ("letters", "handle() keeps the curve of the stage 'answer-A1' until a later stage"),
        ("cut", "other numbers of the stage 'answer-A1', but not with those of the other stage"),
        ("waits", "of which the first one was killed writes another curves/toy-aaaaaa.json"),
        ("stays open", "after close(), curves/toy-aaaaaa.log is still open; close it in close()"),
        ("ascii", "handle() of 1 events raised UnicodeEncodeError: 'ascii' codec can't encode"),
        ("no stage", "handle() of 1 events raised TypeError"),
        ("environment", "it writes the environment variable HALO_CHECK_VARIABLE into curves/toy"),
        ("secret", "it writes the secret of the option 'key' into curves/toy-aaaaaa.json"),
        ("class", "a session without events writes another curves/toy-aaaaaa.json after the"),
        ("describes nothing", "describe() before the first event is None; expected a mapping"),
        ("draft", "it leaves the draft curves/toy-aaaaaa.tmp; rename it (os.replace), or remove"),
    ],
)
def test_a_wrong_file_of_the_store_is_found(fault: str, told: str, tmp_path: Path) -> None:
    key = Secret("HALO_NOT_SET") if fault == "secret" else None
    with pytest.raises(AssertionError) as caught:
        check_effects(Curves(fault=fault, key=key), tmp_path)
    assert told in str(caught.value)


def test_a_tracker_that_keeps_all_numbers_passes(tmp_path: Path) -> None:
    check_stored(Curves(), tmp_path / "stores")
    check_curves(Curves(), tmp_path / "curves")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no sign", "the same with all signs reversed, although it keeps these metrics"),
        ("whole", "the same with other fractions"),
        ("exchanged", "the same with the values of two metrics exchanged"),
        ("first metric", "one metric of each event, and another one if the metrics come in the o"),
        ("first value", "the same if the second of two values of one step is another one"),
        ("tenth", "with another number at step 2, 5, although it keeps that of step 10"),
        ("counts", "the same if each step is 1,000 higher, although it keeps the curve"),
        ("rounds", "the same with 7e-05 in place of 2e-05, as of a learning rate"),
    ],
)
def test_a_lost_number_of_a_curve_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check_curves(Curves(fault=fault), tmp_path)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("swallows", "returns although it cannot write curves/toy-aaaaaa.json (a folder has this"),
        ("says once", "of another run that says the same changes nothing; two runs are two runs"),
        ("one file", "of a second run replaces the numbers of the first one, although has_run()"),
    ],
)
def test_a_store_that_loses_events_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check_stored(Curves(fault=fault), tmp_path)
    assert told in str(caught.value)


def test_a_tracker_whose_server_is_away_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(NotHereError, match=r"It asked 127\.0\.0\.1.*, which is away or refus"):
        kind_rules._reached(check_events)(Posts(), tmp_path)
    with pytest.raises(AssertionError, match="has_run"):  # Its own fault, without a server.
        kind_rules._reached(check_events)(Curves(fault="prefix"), tmp_path / "other")
