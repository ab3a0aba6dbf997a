from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from halo_core.cli import call
from halo_core.events import EventLog

TRACKER = '''
import json
from pathlib import Path

from pydantic import Field

from halo_core.tracker import Tracker, TrackerSession


class Session(TrackerSession):
    def __init__(self, file, fails):
        self.file, self.fails = file, fails

    def handle(self, events):
        if self.fails:
            raise ConnectionError("no answer from http://ann:sesame@host")
        with self.file.open("a") as file:
            for event in events:
                file.write(json.dumps(event) + "\\n")

    def describe(self):
        return {"label": "File", "url": str(self.file)}

    def close(self):
        pass


class ToFile(Tracker):
    """Writes events to a file."""

    fails: bool = Field(False, description="whether it fails")

    def open(self, run, workspace):
        return Session(workspace / "seen.jsonl", self.fails)
'''


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of the workspace `ws` in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("halo_core.tracking.send.time.sleep", lambda seconds: None)
    folder = tmp_path / "ws" / "runs" / "toy-1a2b3c"
    folder.mkdir(parents=True)
    (tmp_path / "tracker.py").write_text(TRACKER)
    write_trackers(folder, {"use": f"file:{tmp_path / 'tracker.py'}:ToFile"})
    log = EventLog(folder / "events.jsonl")
    log.append("run-started", name="toy")
    log.append("metrics", stage="kto", step=1, metrics={})
    log.append("run-ended", status="done", headline="", error=None)
    return folder


def write_trackers(run: Path, *trackers: dict[str, Any]) -> None:
    (run / "run.json").write_text(json.dumps({"tracking": trackers}))


IMPORT = "from halo_core.errors import DataError"


def seen(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.parents[1] / "seen.jsonl").open()]


@pytest.mark.parametrize("name", ["toy-1a2b3c", "toy", "ws/runs/toy-1a2b3c"])
def test_sync_sends_all_events_of_a_run_by_name_or_folder(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["sync", name, "--workspace", "ws"]) == 0
    assert [event["type"] for event in seen(run)] == ["run-started", "metrics", "run-ended"]
    assert ": 3 events sent" in capsys.readouterr().out


def test_sync_sends_from_the_first_event_again(run: Path) -> None:
    for _ in range(2):
        assert call(["sync", "toy", "--workspace", "ws"]) == 0
    assert len(seen(run)) == 6


def test_sync_prints_one_json_object(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sync", "toy", "--workspace", "ws", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    use = f"file:{run.parents[2] / 'tracker.py'}:ToFile"
    trackers = {use: {"label": "File", "url": str(run.parents[1] / "seen.jsonl")}}
    assert printed == {
        "schema": 1,
        "run": "toy-1a2b3c",
        "sent": [{"use": use, "status": "sent", "events": 3}],
        "trackers": trackers,
    }
    assert json.loads((run / "run.json").read_text())["trackers"] == trackers


def test_sync_ends_with_where_to_look(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sync", "toy", "--workspace", "ws"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  File    {run.parents[1] / 'seen.jsonl'}"


def test_sync_fails_when_a_tracker_says_nonsense_of_itself_and_has_sent_all(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.parents[2] / "tracker.py"
    path.write_text(TRACKER.replace('"url": str(self.file)', '"url": self.file'))
    assert call(["sync", "toy", "--workspace", "ws"]) == 3
    assert len(seen(run)) == 3
    told = capsys.readouterr().err
    assert "cannot say where it shows this run: PluginError: " in told
    assert "ToFile.describe() returned 'url': a PosixPath; expected a text" in told


def test_sync_ends_a_run_whose_process_ended_without_a_word(run: Path) -> None:
    EventLog(run / "events.jsonl").append("run-started", name="toy")
    EventLog(run / "events.jsonl").append("metrics", stage="kto", step=2, metrics={})
    assert call(["sync", "toy", "--workspace", "ws"]) == 0
    last, end = seen(run)[-2:]
    assert (end["type"], end["status"], end["time"]) == ("run-ended", "failed", last["time"])
    assert end["error"] == "the process ended without reporting its end"


@pytest.mark.parametrize("line", ["raise KeyError('step')", "raise SystemExit(0)"])
def test_a_tracker_that_is_broken_ends_sync_with_3(
    run: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    path = run.parents[2] / "tracker.py"
    path.write_text(TRACKER.replace('raise ConnectionError("no answer', f'{line}\n        x = ("'))
    use = f"file:{path}:ToFile"
    write_trackers(run, {"use": use, "fails": True}, {"use": use})
    assert call(["sync", "toy", "--workspace", "ws", "--json"]) == 3
    printed = json.loads(capsys.readouterr().out)
    assert [each["status"] for each in printed["sent"]] == ["failed", "sent"]
    assert printed["error"]["type"] == "PluginError"
    assert f"{path}:16: {use}.handle() raised " in printed["error"]["message"]


def test_sync_fails_when_a_tracker_does_and_still_feeds_the_others(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use = f"file:{run.parents[2] / 'tracker.py'}:ToFile"
    write_trackers(run, {"use": use, "fails": True}, {"use": use})
    assert call(["sync", "toy", "--workspace", "ws", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [each["status"] for each in printed["sent"]] == ["failed", "sent"]
    assert list(printed["trackers"]) == [use, f"{use}#2"]
    assert "did not take all events: PluginError: " in printed["error"]["message"]
    assert printed["error"]["message"].endswith(
        ":ToFile.handle() raised ConnectionError: no answer from http://***@host; "
        "check whether it can be reached, then try again"
    )
    assert len(seen(run)) == 3


def test_sync_gives_no_further_advice_where_the_error_says_what_to_do(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.parents[2] / "tracker.py"
    line = 'raise ConnectionError("no answer from http://ann:sesame@host")'
    own = 'raise DataError("a newer one made it; update it", location="its.db")'
    path.write_text(TRACKER.replace(line, own).replace("import json", f"import json\n{IMPORT}"))
    write_trackers(run, {"use": f"file:{path}:ToFile", "fails": True})
    assert call(["sync", "toy", "--workspace", "ws"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith("all events: DataError: its.db: a newer one made it; update it")


def test_sync_leaves_a_running_run_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(run.with_name(f".{run.name}.lock")):
        assert call(["sync", "toy", "--workspace", "ws"]) == 2
    assert "this run is still running and sends its events itself" in capsys.readouterr().err


def test_sync_names_the_runs_there_are(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sync", "tyo-1a2b", "--workspace", "ws"]) == 2
    assert (
        "ws: no run or suite 'tyo-1a2b'. Did you mean 'toy-1a2b3c'? Existing: run toy-1a2b3c\n"
        in capsys.readouterr().err
    )


def test_sync_refuses_the_beginning_of_two_names(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = run.with_name("toy-ffffff")
    other.mkdir()
    (other / "events.jsonl").write_text("")
    assert call(["sync", "toy", "--workspace", "ws"]) == 2
    message = "'toy' is the beginning of 2 names: toy-1a2b3c, toy-ffffff"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        (["board/pins", "z/z"], "add tracking: [board/pins]"),
        ([], "install one (halo plugins --available shows them), add it"),
    ],
)
def test_sync_says_when_a_run_has_no_trackers_and_how_to_add_one(
    run: Path,
    installed: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("halo_core.plugins.registry.Registry.names", lambda self, kind: installed)
    write_trackers(run)
    assert call(["sync", "toy", "--workspace", "ws"]) == 2
    assert f"this run has no trackers; {told} to its spec and run it again" in (
        capsys.readouterr().err
    )
