"""Checkpoints written during further steps: the same bits, and nothing lost to the thread."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from halo_core.cli import call
from halo_core.errors import DiskError, Interrupted, NotFiniteError
from halo_core.events import EventLog, read_events
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_core.workspace.records import CHECKPOINT
from halo_methods.components import DPO, EMA
from halo_trainer.train import loop
from halo_trainer.train.checkpoints import files as checkpoint_files
from halo_trainer.train.checkpoints.background_job import BackgroundJob
from halo_trainer.train.checkpoints.host_memory import free_memory
from halo_trainer.train.checkpoints.saving import Saving
from halo_trainer.train.options import Train
from halo_trainer.train.policy_check import PolicyCheck
from halo_trainer.train.step import backward

SOON = 120
"""Seconds after which a test that waits for another thread fails."""
ROWS = [
    {
        "prompt": [{"role": "user", "content": f"What {i}?"}],
        "chosen": "moo " * (1 + i % 3),
        "rejected": "duck " * (1 + i % 2),
    }
    for i in range(6)
]


class Log(EventLog):
    """Calls a function with each step that is logged."""

    def __init__(self, path: Path, logged: Callable[[int], None]) -> None:
        super().__init__(path)
        self.logged = logged

    def append(self, type_: str, **fields: Any) -> None:
        if type_ == "metrics":
            self.logged(fields["step"])
        super().append(type_, **fields)


Run = Callable[..., Path]


@pytest.fixture
def run(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> Run:
    """Trains six steps in a folder of this name, and returns the folder."""

    def train(
        name: str,
        *,
        logged: Callable[[int], None] = lambda step: None,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> Path:
        context = make_context(
            data={"data": make_data("paired", ROWS)},
            models={"from": tiny_model, "reference": tiny_model},
            name=name,
            stop=stop,
            warnings=warnings,
        )
        given: dict[str, Any] = {
            "data": "d",
            "loss": DPO(),
            "reference_update": EMA(decay=0.9),
            "batch_size": 3,
            "steps": 6,
            "learning_rate": 0.05,
            "log_every": 1,
            "checkpoint_every": 2,
            "device": "cpu",
        }
        Train(**given | options).run(
            replace(context, events=Log(context.folder / "events.jsonl", logged))
        )
        return context.folder

    return train


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def same(folder: Path, other: Path) -> bool:
    found, expected = (load_file(each / "model" / "model.safetensors") for each in (folder, other))
    return all(torch.equal(found[name], expected[name]) for name in expected)


def read(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str] | None]:
    with safe_open(file, framework="pt") as opened:
        return load_file(file), opened.metadata()


def events(folder: Path, type_: str) -> list[int]:
    found = (event for event, _ in read_events(folder / "events.jsonl"))
    return [event["step"] for event in found if event["type"] == type_]


class Writer:
    """Simulates a disk: records writes, and may wait or fail before it writes weights."""

    def __init__(self, before: Callable[[int], None] = lambda count: None) -> None:
        self.before = before
        self.count = 0
        self.at_once = 0
        self.most_at_once = 0

    def save_file(self, tensors: Any, path: Path, **others: Any) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if path.name == "weights.safetensors":
                self.count += 1
                self.before(self.count)
            save_file(tensors, path, **others)
        finally:
            self.at_once -= 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Writer]:
    """Puts a `Writer` in the place of the disk."""

    def put(before: Callable[[int], None] = lambda count: None) -> Writer:
        writer = Writer(before)
        monkeypatch.setattr(checkpoint_files, "save_file", writer.save_file)
        return writer

    return put


def test_steps_go_on_while_a_disk_is_slow(run: Run, tmp_path: Path, disk: Any) -> None:
    released = threading.Event()
    seen: dict[int, list[int]] = {}

    def logged(step: int) -> None:
        seen[step] = kept(tmp_path / "slow")
        if step == 4:
            released.set()

    def before(count: int) -> None:
        assert released.wait(SOON), "steps wait for the disk"

    writer = disk(before)
    folder = run("slow", logged=logged)
    # Step 2 was being written while steps 3 and 4 were computed.
    assert seen[3] == seen[4] == []
    # Only one is written at a time, and all of them are, to their ends.
    assert writer.most_at_once == 1
    assert events(folder, "checkpoint") == [2, 4, 6]
    assert kept(folder) == [4, 6]


def test_a_second_checkpoint_waits_for_the_first(
    run: Run, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    result = BackgroundJob.result

    def noted(self: BackgroundJob[Any]) -> Any:
        if threading.current_thread() is threading.main_thread() and self._job is not None:
            waiting.set()
        return result(self)

    def before(count: int) -> None:
        if count == 1:
            assert waiting.wait(SOON), "nothing waits for the checkpoint before"

    monkeypatch.setattr(BackgroundJob, "result", noted)
    writer = disk(before)
    run("two", steps=4)
    assert writer.most_at_once == 1


def test_without_the_background_each_checkpoint_is_there_before_the_next_step(
    run: Run, tmp_path: Path
) -> None:
    seen: dict[int, list[int]] = {}

    def logged(step: int) -> None:
        seen[step] = kept(tmp_path / "plain")

    run("plain", logged=logged, async_checkpoints=False)
    assert (seen[3], seen[5]) == ([2], [2, 4])


def test_weights_and_checkpoints_are_the_same_bits_in_the_background(
    run: Run, disk: Any, tmp_path: Path
) -> None:
    released = threading.Event()
    disk(lambda count: None if released.wait(SOON) else pytest.fail("steps wait for the disk"))
    # Two more steps are done before the checkpoint of step 2 is written.
    here = run("here", logged=lambda s: released.set() if s == 4 else None, keep_last=9)
    disk()
    there = run("there", async_checkpoints=False, keep_last=9)
    assert same(here, there)
    for step in (2, 4, 6):
        for name in ("weights", "optimizer", "reference"):
            file = f"checkpoints/step-{step:08d}/{name}.safetensors"
            (tensors, place), (others, other_place) = (read(each / file) for each in (here, there))
            assert place == other_place
            assert tensors.keys() == others.keys()
            assert all(torch.equal(tensors[key], others[key]) for key in tensors)


def test_a_disk_that_fails_stops_the_training_after_the_next_step(
    run: Run, disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    savings: list[Saving] = []
    save = Saving.save

    def noted(self: Saving, *arguments: Any, **options: Any) -> None:
        savings.append(self)
        save(self, *arguments, **options)

    def before(count: int) -> None:
        if count == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Waiting(StopFlag):
        """Waits for the thread after step 4, as a longer step would."""

        calls = 0

        def is_set(self) -> bool:
            self.calls += 1
            end = time.monotonic() + SOON
            while self.calls > 4 and not savings[-1].failed:
                assert time.monotonic() < end
                time.sleep(0.01)
            return False

    whole = run("whole", steps=20, checkpoint_every=4)
    disk(before)
    monkeypatch.setattr(Saving, "save", noted)
    with pytest.raises(DiskError, match=r"the disk is full: .*No space left on device"):
        run("full", stop=Waiting(), steps=20, checkpoint_every=2)
    assert max(events(tmp_path / "full", "metrics")) == 4
    assert kept(tmp_path / "full") == [2]
    disk()
    assert same(run("full", steps=20, checkpoint_every=4), whole)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EIO, "Input/output error"), "cannot be written: .*Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied"), "Look at the disk and at the rights"),
    ],
)
def test_a_disk_that_fails_at_the_end_is_told_before_the_model_is_written(
    run: Run, disk: Any, tmp_path: Path, error: OSError, words: str
) -> None:
    def before(count: int) -> None:
        if count == 3:
            raise error

    disk(before)
    with pytest.raises(DiskError, match=words):
        run("full")
    assert kept(tmp_path / "full") == [2, 4]
    assert not (tmp_path / "full" / "model").exists()


def test_a_stop_waits_until_its_step_is_on_the_disk(run: Run, disk: Any, tmp_path: Path) -> None:
    class Stop(StopFlag):
        calls = 0

        def is_set(self) -> bool:
            self.calls += 1
            return self.calls == 3

    disk(lambda count: threading.Event().wait(0.2))
    with pytest.raises(Interrupted, match="step 3 of 6 is kept"):
        run("cut", stop=Stop())
    assert kept(tmp_path / "cut") == [2, 3]
    disk()
    assert same(run("cut"), run("whole"))


def test_a_stop_whose_step_cannot_be_written_does_not_say_that_it_is_kept(
    run: Run, disk: Any, tmp_path: Path
) -> None:
    class Stop(StopFlag):
        calls = 0

        def is_set(self) -> bool:
            self.calls += 1
            return self.calls == 3

    def before(count: int) -> None:
        if count == 2:
            raise OSError(errno.EIO, "Input/output error")

    disk(before)
    with pytest.raises(DiskError, match="checkpoints: cannot be written: "):
        run("cut", stop=Stop())
    assert kept(tmp_path / "cut") == [2]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error"), "cannot be written: "),
        (RuntimeError("of a library"), "was not written: RuntimeError: of a library"),
    ],
)
def test_the_error_of_a_step_comes_before_that_of_the_disk(
    run: Run,
    disk: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    gives_up = threading.Event()
    give_up = Saving.give_up

    def noted(self: Saving) -> None:
        gives_up.set()
        give_up(self)

    def before(count: int) -> None:
        if count == 2:
            assert gives_up.wait(SOON)
            raise error

    def logged(step: int) -> None:
        if step == 5:
            raise NotFiniteError("step 5: made up")

    monkeypatch.setattr(Saving, "give_up", noted)
    disk(before)
    warnings: list[str] = []
    with pytest.raises(NotFiniteError, match="made up"):
        run("both", logged=logged, warnings=warnings)
    assert any(words in warning for warning in warnings)
    assert kept(tmp_path / "both") == [2]


def test_a_note_that_cannot_be_written_is_an_error_of_the_disk(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full" / "checkpoints" / "README.md").mkdir(parents=True)
    with pytest.raises(DiskError, match=r"cannot be written: .*Is a directory"):
        run("full")
    assert kept(tmp_path / "full") == [2]


def test_a_bad_step_whose_checkpoint_is_still_being_written_leaves_none(
    run: Run, disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = threading.Event()
    drop = Saving.drop

    def noted(self: Saving, step: int) -> None:
        dropping.set()
        drop(self, step)

    steps: list[int] = []

    def broken(*arguments: Any, **options: Any) -> Any:
        steps.append(len(steps) + 1)
        if steps[-1] == 3:
            # The checkpoint of step 2 is being written.
            while writer.count < 2:
                time.sleep(0.01)
            raise NotFiniteError("the gradient of step 3")
        return backward(*arguments, **options)

    def fault(self: PolicyCheck, rate: float, *, gradient: bool = False) -> str | None:
        return "no gradient is finite" if gradient else None

    def before(count: int) -> None:
        if count == 2:
            assert dropping.wait(SOON)

    monkeypatch.setattr(Saving, "drop", noted)
    monkeypatch.setattr(loop, "backward", broken)
    # Only the gradient shows that step 2 was too large, after its checkpoint was begun.
    monkeypatch.setattr(PolicyCheck, "fault", fault)
    writer = disk(before)
    with pytest.raises(NotFiniteError, match="no gradient is finite"):
        run("bad", checkpoint_every=1)
    assert dropping.is_set()
    assert kept(tmp_path / "bad") == [1]


def test_with_little_memory_the_training_waits_and_says_so_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_trainer.train.checkpoints.saving.free_memory", lambda: 10_000)
    seen: dict[int, list[int]] = {}
    warnings: list[str] = []

    def logged(step: int) -> None:
        seen[step] = kept(tmp_path / "little")

    folder = run("little", logged=logged, warnings=warnings)
    assert (seen[3], seen[5]) == ([2], [2, 4])
    (told,) = (warning for warning in warnings if "memory" in warning)
    assert "and 10,000 are free; expected twice as many as it has" in told
    monkeypatch.undo()
    assert same(folder, run("much"))


KILLS = """
import os, signal, sys
from halo_core.cli import call
from halo_trainer.train.checkpoints import files as checkpoint_files
from halo_trainer.train import loop

save_file, count = checkpoint_files.save_file, 0

def kill(tensors, path, **others):
    global count
    save_file(tensors, path, **others)
    if path.name == "optimizer.safetensors":
        count += 1
        if count == 2:
            os.truncate(path, 100)
            os.kill(os.getpid(), signal.SIGKILL)

checkpoint_files.save_file = kill
call(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_writing_leaves_the_checkpoint_before(
    warm: Any, tmp_path: Path, tiny_model: ModelInput
) -> None:
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (1 + i % 3)} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.yaml").write_text(
        f"name: killed\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: sft, data: train, batch_size: 3, steps: 6, "
        "log_every: 1, checkpoint_every: 2, keep_last: 9, device: cpu}}\n"
    )
    (tmp_path / "kills.py").write_text(KILLS)
    run = ["run", str(tmp_path / "spec.yaml"), "--workspace"]
    done = warm.run(
        [sys.executable, str(tmp_path / "kills.py"), *run, str(tmp_path / "cut")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    (cut,) = (tmp_path / "cut" / "stages").glob("train-*")
    assert kept(cut) == [2]
    assert list((cut / "checkpoints").glob(".step-00000004.*.partial"))
    for workspace in ("cut", "whole"):
        assert call([*run, str(tmp_path / workspace)]) == 0
    (whole,) = (tmp_path / "whole" / "stages").glob("train-*")
    assert same(cut, whole)
    assert not list((cut / "checkpoints").glob(".*"))
    assert kept(cut) == [2, 4, 6]


def test_a_job_gives_its_result_once_and_keeps_its_error_until_asked() -> None:
    job: BackgroundJob[int] = BackgroundJob()
    assert (job.result(), job.result_if_done(), job.failed) == (None, None, False)
    job.start(lambda: 3)
    with pytest.raises(RuntimeError, match="was not taken"):
        job.start(lambda: 4)
    assert (job.result(), job.result()) == (3, None)
    job.start(lambda: 1 // 0)
    while not job.failed:
        pass
    assert job.result_if_done() is None
    with pytest.raises(ZeroDivisionError):
        job.result()
    assert not job.failed


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("5000", "1000", 4300), ("500", "1000", 0), ("max", "1000", None)]
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, limit: str, used: str, free: int | None
) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text("anon 600\ninactive_file 300\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    found = free_memory(tmp_path)
    assert found == free if free is not None else found > 10**6
    assert free_memory(tmp_path / "none") > 10**6


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_another_number_of_processes_is_told_with_what_changes(
    dropout: float, run: Run, tmp_path: Path
) -> None:
    class Stop(StopFlag):
        calls = 0

        def is_set(self) -> bool:
            self.calls += 1
            return self.calls == 3

    warnings: list[str] = []
    with pytest.raises(Interrupted, match="step 3 of 6 is kept"):
        run("other", stop=Stop(), warnings=warnings, dropout=dropout)
    assert not any("processes" in warning for warning in warnings)
    folder = tmp_path / "other" / "checkpoints" / "step-00000003"
    record = CHECKPOINT.read(folder)
    assert record is not None
    assert record["processes"] == 1
    CHECKPOINT.write(folder, {**record, "processes": 4})
    run("other", warnings=warnings, dropout=dropout)
    (told,) = [warning for warning in warnings if "processes" in warning]
    drawn = " Dropout draws other numbers: each process has random numbers of its own."
    assert told == (
        "step 3 was computed by 4 processes, and 1 process will continue. Data and learning "
        f"rates are the same; gradients are equal up to rounding.{drawn if dropout else ''}"
    )
