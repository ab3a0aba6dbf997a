"""Warnings of all processes of a stage reach the user: equal ones once, others with their ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.errors import DiskError, WorkerError
from halo_core.events import EventLog, read_events
from halo_core.run import rank_warnings, stage_runner
from halo_core.run.rank_warnings import (
    FOLDER,
    Gathered,
    forget_warnings,
    warnings_left,
    warnings_of_all,
)
from halo_core.workspace.records import EVENTS

SOON = 120
"""Seconds after which a test that waits for another thread fails."""


def write(folder: Path, rank: int, *messages: str) -> None:
    with warnings_of_all(folder, rank, 4, pytest.fail) as warn:
        for message in messages:
            warn(message)


def test_equal_warnings_are_shown_once_and_others_with_their_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_warnings, "GRACE_S", 600.0)
    shown: list[str] = []
    with warnings_of_all(tmp_path, 0, 4, shown.append) as warn:
        write(tmp_path, 1, "all have it", "1 GB is free", "1 GB is free")
        write(tmp_path, 2, "all have it", "2 GB are free")
        write(tmp_path, 3, "all have it", "2 GB are free")
        warn("all have it")
    assert shown == ["all have it", "rank 1: 1 GB is free", "ranks 2, 3: 2 GB are free"]
    assert not (tmp_path / FOLDER).exists()


def test_they_are_shown_while_the_stage_works_and_also_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_warnings, "LOOK_S", 0.01)
    monkeypatch.setattr(rank_warnings, "GRACE_S", 0.0)
    shown: list[str] = []
    came = threading.Event()

    def show(message: str) -> None:
        shown.append(message)
        came.set()

    def stage() -> None:
        with warnings_of_all(tmp_path, 0, 4, show):
            write(tmp_path, 2, "little memory")
            assert came.wait(SOON)
            write(tmp_path, 3, "the last words")
            raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        stage()
    assert shown == ["rank 2: little memory", "rank 3: the last words"]


def test_a_warning_that_cannot_be_recorded_is_printed_and_later_ones_are_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rank_warnings, "LOOK_S", 0.01)
    monkeypatch.setattr(rank_warnings, "GRACE_S", 0.0)
    came = threading.Semaphore(0)

    def show(message: str) -> None:
        came.release()
        raise DiskError("the disk is full")

    with warnings_of_all(tmp_path, 0, 4, show) as warn:
        for rank in (1, 2):
            write(tmp_path, rank, "little memory" if rank == 1 else "less memory")
            assert came.acquire(timeout=SOON)
        warn("its own")
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "warning: its own",
        "warning: rank 1: little memory",
        "warning: rank 2: less memory",
    ]


def test_a_warning_waits_for_rank_0_to_have_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_warnings, "GRACE_S", 600.0)
    shown: list[str] = []
    gathered = Gathered(tmp_path, 4, shown.append)
    write(tmp_path, 1, "all have it")
    gathered.look()
    assert shown == []
    gathered.own("all have it")
    gathered.look(last=True)
    assert shown == ["all have it"]


def test_a_rank_that_has_a_shown_warning_later_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_warnings, "GRACE_S", 0.0)
    shown: list[str] = []
    gathered = Gathered(tmp_path, 4, shown.append)
    write(tmp_path, 1, "little memory")
    gathered.look()
    write(tmp_path, 3, "little memory")
    gathered.look()
    assert shown == ["rank 1: little memory", "rank 3: little memory"]
    EventLog(tmp_path / EVENTS.name).append("warning", stage="kto", message=shown[0])
    assert warnings_left(tmp_path) == ["rank 3: little memory"]


def test_a_single_process_shows_its_own_and_writes_nothing(tmp_path: Path) -> None:
    shown: list[str] = []
    with warnings_of_all(tmp_path, 0, 1, shown.append) as warn:
        warn("little memory")
        warn("little memory")
    assert shown == ["little memory"] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_cannot_write_prints_its_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    write(tmp_path, 2, "little memory")
    assert capsys.readouterr().err == "warning: rank 2: little memory\n"


def test_the_controller_tells_what_rank_0_could_not_and_nothing_twice(tmp_path: Path) -> None:
    write(tmp_path, 1, "its own", "told with a rank", "told as it is")
    write(tmp_path, 2, "its own")
    log = EventLog(tmp_path / EVENTS.name)
    for message in ("rank 1: told with a rank", "told as it is", "another one"):
        log.append("warning", stage="kto", message=message)
    assert warnings_left(tmp_path) == ["ranks 1, 2: its own"]
    assert warnings_left(tmp_path) == []
    write(tmp_path, 1, "of an earlier attempt")
    forget_warnings(tmp_path)
    assert warnings_left(tmp_path) == []


STAGE = '''
import os, subprocess, sys, time
from typing import ClassVar
from halo_core.option_markers import ModelRef
from halo_core.stage import Product, Stage, StageResult

START = """
import os, subprocess, sys
def rank(number):
    more = {"RANK": str(number), "WORLD_SIZE": "3"}
    command = [sys.executable, "-m", "halo_core.worker", sys.argv[1]]
    return subprocess.Popen(command, env=os.environ | more)
ranks = [rank(number) for number in range(3)]
sys.exit(max(abs(each.wait()) for each in ranks))
"""

class Warns(Stage):
    produces: ClassVar[Product] = "feedback"

    def feedback_given(self):
        return "binary"

    def command(self, folder):
        return [sys.executable, "-c", START, str(folder)]

    def run(self, context):
        rank = os.environ["RANK"]
        context.warn("all have it")
        if rank != "0":
            context.warn(f"{rank} GB of memory")
            (context.folder / f"warned-{rank}").touch()
        else:
            while not all((context.folder / f"warned-{n}").exists() for n in "12"):
                time.sleep(0.01)
            (context.folder / "feedback.jsonl").write_text("")
        return StageResult()
'''


@pytest.mark.slow
def test_a_run_records_the_warnings_of_all_its_processes(
    halo_process: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "warns.py").write_text(STAGE)
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "name: ranks\nreports: []\nmodel: {hub: someone/small}\n"
        f"stages: {{labels: {{use: 'file:{tmp_path / 'warns.py'}:Warns'}}}}\n"
    )
    ran = halo_process("run", str(spec), "--workspace", str(tmp_path / "w"))
    assert ran.code == 0, ran.err
    (file,) = (tmp_path / "w").glob("runs/*/events.jsonl")
    found = [(e["stage"], e["message"]) for e, _ in read_events(file) if e["type"] == "warning"]
    own = [("labels", f"rank {n}: {n} GB of memory") for n in (1, 2)]
    assert found == [("labels", "all have it"), *own]
    for _, message in found:
        assert ran.err.count(message) == 1


@pytest.mark.parametrize("works", [True, False])
def test_a_full_disk_does_not_replace_the_error_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    write(tmp_path, 1, "one", "two")
    shown: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        raise DiskError("the disk is full")

    def work(*_: object, **__: object) -> object:
        if not works:
            raise WorkerError("a worker ended")
        return {}

    for name, call in {"command_of": lambda *_: ["x"], "machines_of": lambda _: 1}.items():
        monkeypatch.setattr(stage_runner, name, call)
    monkeypatch.setattr(stage_runner, "forget_warnings", lambda _: None)
    monkeypatch.setattr(stage_runner, "run_in_workers", work)
    runner: Any = stage_runner.StageRunner.__new__(stage_runner.StageRunner)
    runner._board = SimpleNamespace(warn=shown.append)
    runner._log = SimpleNamespace(append=refuse)
    runner._stop = None
    runner._meeting = SimpleNamespace(share=lambda *_: nullcontext())
    stage: Any = SimpleNamespace(folder=tmp_path, id="tune", spec=SimpleNamespace(component=None))
    with pytest.raises(DiskError if works else WorkerError):
        runner._call(stage)
    assert len(shown) == 2
