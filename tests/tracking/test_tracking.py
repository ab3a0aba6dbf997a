from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from halo_core.errors import VersionError
from halo_core.events import Event, EventLog
from halo_core.tracker import StartOver, Tracker, TrackerSession
from halo_core.tracking.carrier import Tracking
from halo_core.tracking.descriptions import by_name
from halo_core.tracking.feed import make_feeds, read_batch
from halo_core.workspace.records import TRACKING


class Recorder(TrackerSession):
    """A session that records its events; `before` may raise or hang first."""

    def __init__(self, before: Callable[[Sequence[Event]], None] = lambda events: None) -> None:
        self.before = before
        self.events: list[Event] = []
        self.closed = False

    def handle(self, events: Sequence[Event]) -> None:
        self.before(events)
        self.events.extend(events)

    def describe(self) -> Mapping[str, object]:
        return {"label": "Board", "url": "http://board/7", "pins": 3}

    def close(self) -> None:
        self.closed = True

    @property
    def steps(self) -> list[int]:
        return [event["step"] for event in self.events if "step" in event]


class Recording(Tracker):
    _session: Any = PrivateAttr()

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session

    def open(self, run: Path, workspace: Path) -> Any:
        if isinstance(self._session, Exception):
            raise self._session
        return self._session


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.tracking.carrier.POLL_S", 0.01)
    monkeypatch.setattr("halo_core.tracking.carrier.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("halo_core.tracking.carrier.LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl")


def write_steps(log: EventLog, steps: range) -> None:
    for step in steps:
        log.append("metrics", stage="kto", step=step, metrics={}, examples=1)


def track(folder: Path, sessions: Mapping[str, Any], warnings: list[str]) -> Tracking:
    trackers = {name: Recording(session) for name, session in sessions.items()}
    return Tracking(trackers, folder, folder, warnings.append)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_events_reach_a_tracker_while_the_run_goes_on(tmp_path: Path, log: EventLog) -> None:
    session, warnings = Recorder(), []
    with track(tmp_path, {"r": session}, warnings) as tracking:
        write_steps(log, range(1, 4))
        wait_until(lambda: session.steps == [1, 2, 3])
        write_steps(log, range(4, 6))
        tracking.close()
    assert session.steps == [1, 2, 3, 4, 5]
    assert session.closed
    assert warnings == []


def test_events_appended_just_before_closing_arrive(tmp_path: Path, log: EventLog) -> None:
    session = Recorder()
    with track(tmp_path, {"r": session}, []):
        write_steps(log, range(1, 1001))
    assert session.steps == list(range(1, 1001))


def test_a_tracker_that_fails_for_a_while_loses_nothing_and_warns_once(
    tmp_path: Path, log: EventLog
) -> None:
    calls = iter(range(100))

    def fail_thrice(events: Sequence[Event]) -> None:
        if next(calls) < 3:
            raise ConnectionError("no answer from http://ann:sesame@host\nsecond line")

    session, warnings = Recorder(fail_thrice), []
    with track(tmp_path, {"r": session}, warnings) as tracking:
        write_steps(log, range(1, 5))
        wait_until(lambda: session.steps == [1, 2, 3, 4])
        tracking.close()
    (warning,) = warnings
    assert warning.startswith(f"r: PluginError: {__file__}:")
    assert warning.endswith(
        ": Recording.handle() raised ConnectionError: no answer from http://***@host second line; "
        "training continues, and halo will try again later"
    )


def test_a_broken_tracker_leaves_the_others_alone(tmp_path: Path, log: EventLog) -> None:
    def fail(events: Sequence[Event]) -> None:
        raise RuntimeError("broken")

    good, warnings = Recorder(), []
    sessions = {"bad": Recorder(fail), "closed": ValueError("cannot open"), "good": good}
    with track(tmp_path, sessions, warnings) as tracking:
        write_steps(log, range(1, 5))
        wait_until(lambda: good.steps == [1, 2, 3, 4])
        tracking.close(deadline_s=60)
    told = "\n".join(warnings)
    assert "Recording.handle() raised RuntimeError: broken; training continues" in told
    assert "Recording.open() raised ValueError: cannot open; training continues" in told
    assert f"bad: not everything reached bad; halo sync {tmp_path} sends the rest" in told
    assert "good" not in told


def test_a_tracker_that_hangs_delays_neither_the_run_nor_the_others(
    tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.tracking.carrier.LAST_WORDS_S", 0.1)
    free = threading.Event()
    hanging = Recorder(lambda events: (free.wait(), None)[1])
    good, warnings = Recorder(), []
    with track(tmp_path, {"slow": hanging, "good": good}, warnings) as tracking:
        write_steps(log, range(1, 50))
        wait_until(lambda: len(good.steps) == 49)
        tracking._closing.set()  # The other one may take all its time.
        wait_until(lambda: good.closed)
        tracking.close(deadline_s=0.1)
    assert warnings == [f"slow: not everything reached slow; halo sync {tmp_path} sends the rest"]
    free.set()


def test_a_later_process_goes_on_behind_the_last_event(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 4))
    with track(tmp_path, {"r": Recorder()}, []):
        pass
    write_steps(log, range(4, 6))
    second = Recorder()
    with track(tmp_path, {"r": second}, []):
        pass
    assert second.steps == [4, 5]
    size = (tmp_path / "events.jsonl").stat().st_size
    assert TRACKING.read(tmp_path) == {"schema": 1, "offsets": {"r": size}}


def test_a_tracker_may_ask_for_all_events_again(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 4))
    with track(tmp_path, {"r": Recorder()}, []):
        pass

    def insist(events: Sequence[Event]) -> None:
        if events and events[0]["step"] != 1:
            raise StartOver

    write_steps(log, range(4, 6))
    second, warnings = Recorder(insist), []
    with track(tmp_path, {"r": second}, warnings):
        pass
    assert second.steps == [1, 2, 3, 4, 5]
    assert warnings == []


def test_a_tracker_that_always_starts_over_is_reported_and_does_not_spin(
    tmp_path: Path, log: EventLog
) -> None:
    def insist(events: Sequence[Event]) -> None:
        raise StartOver

    write_steps(log, range(1, 2))
    warnings: list[str] = []
    with track(tmp_path, {"r": Recorder(insist)}, warnings):
        pass
    said = "Recording.handle() raised StartOver, although it was given the run's first events"
    assert f": {said}; training continues" in warnings[0]


def test_a_damaged_line_is_passed_over(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 3))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"v": 1, "ty\n')
    write_steps(log, range(3, 5))
    session = Recorder()
    with track(tmp_path, {"r": session}, []):
        pass
    assert session.steps == [1, 2, 3, 4]


def test_events_of_a_newer_halo_are_refused_and_not_passed_over(
    tmp_path: Path, log: EventLog
) -> None:
    log.append("run-started", run="r")
    file = tmp_path / "events.jsonl"
    file.write_text(file.read_text() + '{"v": 2, "kind": "run-started"}\n')
    events, offset = read_batch(file, 0, limit=1)
    assert [event["type"] for event in events] == ["run-started"]
    with pytest.raises(VersionError, match=r"events\.jsonl:2: is of version 2, from another halo"):
        read_batch(file, offset)


def test_a_line_that_is_not_complete_waits(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 2))
    path = tmp_path / "events.jsonl"
    size = path.stat().st_size
    with path.open("a") as file:
        file.write('{"v": 1')
    events, offset = read_batch(path, 0)
    assert ([event["step"] for event in events], offset) == ([1], size)
    assert read_batch(path, offset) == ([], offset)


def test_a_batch_is_bounded_however_long_the_file(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 12))
    path = tmp_path / "events.jsonl"
    events, offset = read_batch(path, 0, limit=4)
    rest, _ = read_batch(path, offset, limit=4)
    assert [event["step"] for event in [*events, *rest]] == list(range(1, 9))


def test_an_offset_behind_the_end_starts_at_the_beginning(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 3))
    events, _ = read_batch(tmp_path / "events.jsonl", 10_000)
    assert len(events) == 2


def test_unreadable_offsets_mean_all_events_again(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 3))
    (tmp_path / "tracking.json").write_text("{")
    session = Recorder()
    with track(tmp_path, {"r": session}, []):
        pass
    assert session.steps == [1, 2]


def test_two_trackers_of_one_name_have_their_own_offsets_and_entries(
    tmp_path: Path, log: EventLog
) -> None:
    trackers = by_name([Recording(Recorder()), Recording(Recorder())])
    assert list(trackers) == ["Recording", "Recording#2"]
    feeds = make_feeds(trackers, tmp_path, tmp_path)
    assert [feed.name for feed in feeds] == ["Recording", "Recording#2"]
    write_steps(log, range(1, 2))
    with Tracking(trackers, tmp_path, tmp_path, [].append) as tracking:
        tracking.close()
    assert list(tracking.describe()) == ["Recording", "Recording#2"]


def test_trackers_describe_themselves_when_they_are_closed(tmp_path: Path, log: EventLog) -> None:
    write_steps(log, range(1, 2))
    with track(tmp_path, {"r": Recorder()}, []) as tracking:
        assert tracking.describe() == {}
        tracking.close()
    assert tracking.describe() == {"r": {"label": "Board", "url": "http://board/7", "pins": 3}}


def test_a_tracker_that_is_given_up_still_says_where_it_shows_the_run(
    tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.tracking.carrier.LAST_WORDS_S", 120.0)

    def fail_later(events: Sequence[Event]) -> None:
        if events and events[-1]["step"] > 1:
            assert tracking._given_up.wait(60)
            raise ConnectionError("away")

    session = Recorder(fail_later)
    write_steps(log, range(1, 2))
    with track(tmp_path, {"r": session}, []) as tracking:
        wait_until(lambda: session.steps == [1])
        write_steps(log, range(2, 3))
        tracking.close(deadline_s=0.1)
        assert tracking.describe()["r"]["url"] == "http://board/7"
    assert session.closed


def test_without_trackers_nothing_is_described(tmp_path: Path) -> None:
    with track(tmp_path, {}, []) as tracking:
        tracking.close()
        assert tracking.describe() == {}


@pytest.mark.slow
def test_silence_is_broken_by_a_pulse(
    tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.tracking.feed.PULSE_S", 0.0)
    batches: list[int] = []
    session = Recorder(lambda events: batches.append(len(events)))
    write_steps(log, range(1, 2))
    with track(tmp_path, {"r": session}, []):
        wait_until(lambda: batches[:3] == [1, 0, 0])
