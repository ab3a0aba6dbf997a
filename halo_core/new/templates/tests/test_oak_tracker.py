from pathlib import Path

from halo_core.testing import check_tracker

from halo_acorn.oak_tracker import OakTracker, line_of


def test_the_tracker_keeps_the_rules(tmp_path: Path) -> None:
    check_tracker(OakTracker(), tmp_path)


def test_an_event_is_a_line() -> None:
    event = {"time": 0.0, "type": "metrics", "stage": "kto", "step": 3, "metrics": {"loss": 0.5}}
    assert line_of(event) == "1970-01-01T00:00:00.000+00:00 metrics kto 3 loss=0.5"


def test_events_that_come_twice_are_written_once(tmp_path: Path) -> None:
    event = {"time": 0.0, "type": "note", "stage": "kto", "message": "on the\nCPU"}
    tracker = OakTracker(folder="lines")
    for _ in range(2):
        session = tracker.open(tmp_path / "run-1", tmp_path)
        session.handle([event])
        session.close()
    file = tmp_path / "lines" / "run-1.txt"
    assert file.read_text() == "1970-01-01T00:00:00.000+00:00 note kto on the CPU\n"


def test_a_part_of_a_line_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    tracker = OakTracker(folder="lines")
    file = tmp_path / "lines" / "run-1.txt"
    file.parent.mkdir()
    file.write_text("1970-01-01T0")
    tracker.open(tmp_path / "run-1", tmp_path).handle([{"time": 0.0, "type": "run-ended"}])
    assert file.read_text() == "1970-01-01T0\n1970-01-01T00:00:00.000+00:00 run-ended\n"
