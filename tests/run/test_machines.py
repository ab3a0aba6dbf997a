"""Other machines join a run, get its stages, and end with it. All of them are on loopback here."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from halo_core.errors import HaloError, Interrupted, UserError, WorkerError
from halo_core.run.machines.addresses import ADDRESS, own_address, parsed_address
from halo_core.run.machines.connection import Connection, halo_version
from halo_core.run.machines.join import join_run
from halo_core.run.machines.meeting import Meeting, join_folder
from halo_core.run.stopped_ranks import StoppedRanks
from halo_core.stage import StopFlag
from halo_core.workspace.records import JOIN, STAGE

FAR = """\
import sys
from typing import ClassVar
from pydantic import Field
from halo_core.stage import Stage, StageResult


class Far(Stage):
    \"\"\"Runs Python code on each machine.\"\"\"

    produces: ClassVar[str] = "model"
    code: str = Field(description="Python code.")

    def command(self, folder):
        return [sys.executable, "-c", self.code]

    def run(self, context):
        return StageResult({})
"""
SOON = 120.0


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "127.0.0.1")
    # On a busy machine, processes and messages take their time.
    for module in ("share", "join"):
        monkeypatch.setattr(f"halo_core.run.machines.{module}.LEFT_S", SOON)


def stage(folder: Path, code: str) -> Path:
    (folder / "far.py").write_text(FAR)
    path = folder / "stage"
    path.mkdir()
    STAGE.write(
        path,
        {
            "id": "far",
            "key": "k",
            "seed": 0,
            "stage": {"use": f"file:{folder}/far.py:Far", "code": code},
            **{name: {} for name in ("models", "inputs", "data", "identity")},  # type: ignore[typeddict-item]
            "cache": str(folder),
            "events": str(folder / "events.jsonl"),
            "components": [],
        },
    )
    return path


class Far:
    """`halo join` in a thread."""

    def __init__(self, folder: Path) -> None:
        self.stop, self.said = StopFlag(), list[str]()
        self.result: int | HaloError | None = None
        self._thread = threading.Thread(target=self._join, args=(folder,), daemon=True)
        self._thread.start()

    def _join(self, folder: Path) -> None:
        try:
            self.result = join_run(folder, wait_s=SOON, stop=self.stop, say=self.said.append)
        except HaloError as error:
            self.result = error

    def end(self) -> int | HaloError | None:
        self._thread.join(SOON)
        assert not self._thread.is_alive()
        return self.result


Told = list[str]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def meeting(tmp_path: Path, told: Told) -> Iterator[Meeting]:
    run = tmp_path / "run"
    run.mkdir()
    with Meeting(
        run, say=told.append, waiting=lambda what: nullcontext(), check=lambda: None
    ) as meeting:
        yield meeting


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_a_machine_that_joined_runs_the_stage_with_its_place(tmp_path: Path, told: Told) -> None:
    names = "'HALO_MAIN', 'HALO_MACHINE', 'HALO_MACHINES'"
    code = f"import json, os; print(json.dumps([os.environ[n] for n in ({names})]))"
    folder = stage(tmp_path, code)
    run = tmp_path / "run"
    run.mkdir()
    joined: list[Far] = []

    def say(line: str) -> None:
        told.append(line)
        if not joined:  # As a person does who reads it. One that waits already may be faster.
            joined.append(Far(run))

    with (
        Meeting(run, say=say, waiting=lambda what: nullcontext(), check=lambda: None) as meeting,
        meeting.share(folder, 2) as share,
    ):
        assert share.failure() is None
        share.end()
        assert [(other.ended, other.error) for other in share.others] == [(0, "")]
        assert join_folder(run).stat().st_mode & 0o077 == 0
    (far,) = joined
    assert far.end() == 0
    main, machine, machines = json.loads(far.said[-1])
    assert main == share.environment["HALO_MAIN"]
    assert (machine, machines) == ("1", "2")
    assert share.environment["HALO_MACHINE"] == "0"
    assert told[0].startswith("1 more machine is needed. Start there, where the workspace is")
    assert f"halo join {run} (it connects to 127.0.0.1, port " in told[0]
    assert not join_folder(run).exists()
    assert "meeting" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_that_stands_still_on_another_machine_is_told_to_the_run(
    tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = partial(StoppedRanks, after_s=0.1)
    monkeypatch.setattr("halo_core.run.machines.join.StoppedRanks", brief)
    folder = stage(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    far = Far(tmp_path / "run")
    warnings: list[str] = []
    with meeting.share(folder, 2) as share:
        wait_for(lambda: warnings.extend(share.warnings()) or warnings)
        (warning,) = warnings
        assert "its state is T, so a signal such as SIGSTOP has stopped it" in warning
        assert f"stage: {warning}" in far.said
        os.kill(int(warning.split("process ")[1].split()[0]), signal.SIGCONT)
        share.end()
        assert share.warnings() == []


def test_the_exit_code_of_a_failed_run_reaches_the_others(tmp_path: Path) -> None:
    folder = stage(tmp_path, "raise SystemExit(3)")
    run = tmp_path / "run"
    run.mkdir()
    far = Far(run)

    def fail() -> None:
        meeting = Meeting(run, say=print, waiting=lambda w: nullcontext(), check=lambda: None)
        with meeting, meeting.share(folder, 2) as share:
            share.end()
            assert share.others[0].ended == 3
            assert share.failure() is None  # The processes here have a moment to see it.
            share.others[0].ended_at -= 2 * SOON
            assert share.failure() == (
                f"the processes of machine 1 ({socket.gethostname()}) ended with exit code 3"
            )
            raise UserError("the run fails")

    with pytest.raises(UserError, match="the run fails"):
        fail()
    assert far.end() == 2


@pytest.mark.parametrize("sleeps", [0.5, 600])
def test_a_run_that_ends_while_processes_still_run_is_not_gone(
    tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch, sleeps: float
) -> None:
    if sleeps == 600:
        monkeypatch.setattr("halo_core.run.machines.join.LEFT_S", 1.0)
    folder = stage(tmp_path, f"import time; time.sleep({sleeps})")
    far = Far(tmp_path / "run")
    with meeting.share(folder, 2) as share:
        wait_for(lambda: any("starting the processes of machine 1" in line for line in far.said))
        share.others[0].connection.send({"bye": 4})
        share.others[0].connection.close()
        assert far.end() == 4


def test_processes_end_with_a_run_that_is_gone(tmp_path: Path, meeting: Meeting) -> None:
    noted = tmp_path / "pid"
    code = f"import os, time; open({str(noted)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    folder = stage(tmp_path, code)
    far = Far(tmp_path / "run")
    with meeting.share(folder, 2) as share:
        wait_for(lambda: noted.exists() and noted.read_text())
        process = psutil.Process(int(noted.read_text()))
        share.others[0].connection.close()  # as the system does for a process that is killed
        error = far.end()
    assert isinstance(error, WorkerError)
    assert "the run on machine 0 is gone, and the processes here were ended" in str(error)
    assert not process.is_running()


def test_a_machine_that_is_gone_ends_the_stage(tmp_path: Path, meeting: Meeting) -> None:
    folder = stage(tmp_path, "import time; time.sleep(600)")
    far = Far(tmp_path / "run")
    with meeting.share(folder, 2) as share:
        wait_for(lambda: any("starting the processes of machine 1" in line for line in far.said))
        far.stop.set(15)
        wait_for(lambda: share.others[0].is_lost or share.others[0].ended is not None)
        assert share.others[0].ended == -15
    # It has nothing to do now, and was asked to stop.
    assert isinstance(far.end(), Interrupted)


def test_a_machine_that_joins_while_others_are_looked_at_is_kept(meeting: Meeting) -> None:
    class Joining(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            yield from list(super().__iter__())
            self.append(new)

    lost, here, new = (SimpleNamespace(is_lost=lost) for lost in (True, False, False))
    meeting._joined = Joining([lost, here])
    assert meeting._present()[:2] == [here, new]


def test_a_stranger_is_sent_away_and_another_version_is_refused(
    tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting._listen()
    record = JOIN.read(join_folder(tmp_path / "run"))
    assert record is not None
    place = record["host"], record["port"]
    for hello in ({"token": "x" * 64, "host": "evil"}, {}, {"token": None}):
        stranger = Connection(socket.create_connection(place))
        stranger.send(hello)
        wait_for(lambda: stranger.receive(0.1) is None and stranger.ended)  # noqa: B023
    assert meeting._present() == []
    monkeypatch.setattr("halo_core.run.machines.join.halo_version", lambda: "0.0.1")
    error = Far(tmp_path / "run").end()
    assert str(error) == (
        f"{tmp_path / 'run'}: the run refuses this machine: it has halo 0.0.1, and the run "
        f"{halo_version()}"
    )


def test_nobody_waits_forever(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run has asked for machines there within 0 s"):
        join_run(tmp_path, wait_s=0.0, stop=StopFlag(), say=print)
    stop = StopFlag()
    stop.set(2)
    with pytest.raises(Interrupted, match="this machine had nothing to do"):
        join_run(tmp_path, wait_s=60.0, stop=stop, say=print)


def test_a_long_line_ends_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = socket.create_connection(server.getsockname())
        connection = Connection(server.accept()[0])
    other.sendall(b'{"a": "' + b"x" * 70_000)
    wait_for(lambda: connection.receive(0.1) is None and connection.ended)
    other.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu-0:99999", "got 'gpu-0:99999'; expected HOST or HOST:PORT"),
        (":80", "got ':80'; expected HOST or HOST:PORT"),
        ("gpu:x", "got 'gpu:x'; expected HOST or HOST:PORT"),
    ],
)
def test_an_address_that_is_none_is_a_mistake(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parsed_address(text)


def test_a_name_that_is_loopback_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, 1, 6, "", ("127.0.1.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: found)
    with pytest.raises(UserError, match=r"gpu-0 is 127\.0\.1\.1 on this machine, which other"):
        own_address({ADDRESS: "gpu-0:5"})
