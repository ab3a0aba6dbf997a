"""The record of a run: whole lines, read from anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halo_core import events
from halo_core.errors import DataError
from halo_core.events import EventLog, read_events


def test_events_come_back_in_order_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in (1, 2, 3):
        log.append("metrics", stage="kto", step=step, metrics={"train/loss": 0.5})
    found = list(read_events(path))
    assert [event["step"] for event, _ in found] == [1, 2, 3]
    assert all(event["v"] == 1 and event["time"] > 0 for event, _ in found)
    assert [event["step"] for event, _ in read_events(path, offset=found[0][1])] == [2, 3]


def test_a_line_that_is_not_complete_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).append("warning", message="one")
    with path.open("a") as file:
        file.write('{"time": 1.5, "type": "warn')
    ((event, offset),) = read_events(path)
    assert event["message"] == "one"
    with path.open("a") as file:
        file.write('ing", "message": "two"}\n')
    assert [event["message"] for event, _ in read_events(path, offset=offset)] == ["two"]


def test_a_line_has_no_end_of_a_line_of_python_inside(tmp_path: Path) -> None:
    path, message = tmp_path / "events.jsonl", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\\\u2028"
    EventLog(path).append("warning", message=message)
    (line,) = path.read_text("utf-8").splitlines()
    assert json.loads(line)["message"] == message
    assert [event["message"] for event, _ in read_events(path)] == [message]


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.append("metrics", stage="kto", step=1, metrics={"train/loss": float("nan")})


def test_an_event_that_nobody_could_read_is_refused_when_it_is_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.raises(
        ValueError, match=r"an event 'metrics', where step is 1.0, not a whole number"
    ):
        log.append("metrics", stage="kto", step=1.0, metrics={})
    with pytest.raises(ValueError, match=r"where metrics.loss is None"):
        log.append("metrics", stage="kto", step=1, metrics={"loss": None})
    with pytest.raises(ValueError, match=r"an event 'metrics', where step, metrics is missing"):
        log.append("metrics", stage="kto")
    assert not (tmp_path / "events.jsonl").exists()


def test_an_event_goes_to_every_file_and_to_none(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    EventLog(*paths).append("warning", message="x")
    assert paths[0].read_text() == paths[1].read_text() != ""
    EventLog().append("warning", message="nowhere")


@pytest.mark.parametrize("lacking", ["step", "metrics"])
def test_a_curve_without_its_step_or_numbers_is_told_by_file_and_line(
    tmp_path: Path, lacking: str
) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).append("warning", message="one")
    whole = {"step": 1, "metrics": {"loss": 0.5}}
    event = {"time": 1.5, "type": "metrics", "stage": "kto", **whole}
    del event[lacking]
    with path.open("a") as file:
        file.write(json.dumps(event) + "\n")
    with pytest.raises(DataError) as caught:
        list(read_events(path))
    assert str(caught.value) == (
        f"{path}:2: got {json.dumps(event)!r} without {lacking}; expected an event 'metrics' with "
        "stage, step, metrics. Remove this line, and only this one"
    )


def test_repeated_events_keep_their_times_and_name_the_stage_of_this_run(tmp_path: Path) -> None:
    stage, run = tmp_path / "stage.jsonl", tmp_path / "events.jsonl"
    EventLog(stage).append("metrics", stage="old", step=1, metrics={"train/loss": 0.5}, time=7.5)
    EventLog(run).repeat((event for event, _ in read_events(stage)), "kto")
    line = json.loads(run.read_text())
    del line["crc"]
    assert [*line.items()] == [
        ("v", 1),
        ("time", 7.5),
        ("type", "metrics"),
        ("stage", "kto"),
        ("step", 1),
        ("metrics", {"train/loss": 0.5}),
        ("cached", True),
    ]


def test_repeated_events_are_written_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(events, "append_lines", lambda _, lines, **__: written.append(len(lines)))
    many = [{"type": "warning", "message": f"{i}", "time": 1.0} for i in range(2500)]
    EventLog(tmp_path / "events.jsonl").repeat(many, "kto")
    assert written == [1000, 1000, 500]


def test_the_stages_that_ended_are_read_without_the_other_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in range(1, 50):
        log.append("metrics", stage="kto", step=step, metrics={"train/loss": 0.5})
    log.append("note", stage="sft", message='an event "stage-ended" is not this one')
    for stage in ("sft", "kto"):
        log.append("stage-ended", stage=stage, status="computed", metrics={}, headline="")
    parsed: list[bytes] = []
    read = events._event

    def counting(line: bytes, where: Path, offset: int) -> events.Event:
        parsed.append(line)
        return read(line, where, offset)

    monkeypatch.setattr(events, "_event", counting)
    assert events.stages_ended(path) == {"sft", "kto"}
    assert len(parsed) <= 3
    assert events.stages_ended(tmp_path / "absent.jsonl") == set()


def test_a_damaged_end_of_a_stage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).append("warning", message="one")
    with path.open("a") as file:
        file.write('{"type": "stage-ended", "time": "now"}\n')
    with pytest.raises(DataError, match="where time is 'now'") as error:
        events.stages_ended(path)
    assert error.value.location == f"{path}:2"
