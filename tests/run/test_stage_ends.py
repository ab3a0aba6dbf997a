"""Each end of a stage is reported, with an exit code and a name, also by the next command."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli.output import Output, finish
from halo_core.workspace.records import OWNER, OwnerRecord

Halo = Callable[..., Any]

ENDS = {
    "exit": "raised SystemExit: 0",
    "recursion": "raised RecursionError: maximum recursion depth exceeded",
    "memory": "raised MemoryError",
    "keyboard": "raised KeyboardInterrupt",
    "own end": "raised OwnEnd: so it ends",
}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("fail", "told"), ENDS.items())
def test_a_stage_that_ends_python_in_any_way_fails_with_3_and_its_name(
    halo: Halo, spec_file: Path, fail: str, told: str, workers: str
) -> None:
    arguments = ["--set", f"stages.learn.fail={fail}", "--set", f"stages.learn.workers={workers}"]
    failed = halo("run", str(spec_file), *arguments, "--json")
    assert failed.code == 3
    error = failed.json["error"]
    assert error["type"] == "PluginError"
    assert error["message"].startswith("Learn (file:made_components.py local) raised ")
    assert told in error["message"]
    assert "made_components.py:" in error["location"]
    assert [stage["status"] for stage in failed.json["stages"]] == ["failed", "pending", "pending"]


def test_a_stranger_s_interrupt_outside_a_stage_is_its_mistake_too(
    halo_process: Halo, tmp_path: Path, spec_file: Path
) -> None:
    source = tmp_path / "odd.py"
    source.write_text(
        "from halo_core.data import DataInfo, DataSource\n\n\n"
        "class Odd(DataSource):\n"
        "    def inspect(self):\n"
        "        raise KeyboardInterrupt\n\n"
        "    def load(self, split):\n"
        "        raise NotImplementedError\n"
    )
    failed = halo_process(
        "validate", str(spec_file), "--set", f"data.train={{use: 'file:{source}:Odd'}}", "--json"
    )
    assert failed.code == 3
    assert "inspect() raised KeyboardInterrupt" in failed.json["errors"][0]["message"]


class Strange(BaseException):
    pass


@pytest.mark.parametrize("error", [Strange("odd"), RecursionError(), MemoryError(), SystemExit(0)])
def test_json_prints_its_object_whatever_ends_a_command(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert finish(Output(json=True), command) == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == type(error).__name__


def test_a_command_without_memory_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise MemoryError

    assert finish(Output(), command) == 1
    said = capsys.readouterr().err
    assert "the memory of this machine, or of what this process may use, ran out; take" in said
    assert "internal error" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("fail", "how"), [("vanish", "exit code 0"), ("killed", "SIGKILL")])
def test_a_run_and_the_next_plan_and_run_say_that_a_stage_ended_without_an_error_message(
    halo_process: Halo, halo: Halo, spec_file: Path, fail: str, how: str
) -> None:
    ended = halo_process("run", str(spec_file), "--set", f"stages.learn.fail={fail}", "--json")
    if sys.platform == "linux":
        assert ended.code == 1
        error = ended.json["error"]
        assert (error["type"], error["location"]) == ("WorkerError", "stages.learn")
        assert "while stage 1 of 3, learn (Learn), was running: " in error["message"]
        assert how in error["message"]
    said = "ended without an error message: it was killed, memory ran out, a library crashed, or"

    plan = halo("plan", str(spec_file), "--json")
    first, second, _ = plan.json["stages"]
    assert first["state"] == "started"
    assert said in first["silent_end"]
    assert second["silent_end"] is None
    assert said in " ".join(halo("plan", str(spec_file)).out.split())

    run = halo("run", str(spec_file), "--json")
    assert run.code == 0
    events = (Path(run.json["folder"]) / "events.jsonl").read_text().splitlines()
    warnings = [e["message"] for e in map(json.loads, events) if e["type"] == "warning"]
    told = [message for message in warnings if said in message]
    assert len(told) == 1
    assert told[0].startswith("learn: process ")
    assert "The stage continues from what was saved" in told[0]
    assert said not in halo("run", str(spec_file)).err


def test_a_worker_that_ends_with_0_and_without_a_result_is_told_as_such(
    halo: Halo, spec_file: Path
) -> None:
    options = ("--set", "stages.learn.fail=vanish", "--set", "stages.learn.workers=2")
    done = halo("run", str(spec_file), *options, "--json")
    assert (done.code, done.json["error"]["type"]) == (1, "WorkerError")
    assert "code ended the process with os._exit" in done.json["error"]["message"]


def test_a_run_that_ended_without_an_error_message_between_its_stages_is_told(
    halo: Halo, spec_file: Path
) -> None:
    done = halo("run", str(spec_file), "--json")
    gone = OwnerRecord(host=socket.gethostname(), process=os.getpid(), since=0.0)
    OWNER.write(Path(done.json["folder"]), gone)
    again = halo("run", str(spec_file))
    assert again.code == 0
    assert "the last time, process " in again.err
    assert "ended without an error message" in again.err
    assert "without an error message" not in halo("run", str(spec_file)).err


def test_a_stage_that_fails_with_an_error_did_not_end_without_an_error_message(
    halo: Halo, spec_file: Path
) -> None:
    assert halo("run", str(spec_file), "--set", "stages.learn.fail=bug").code == 3
    plan = halo("plan", str(spec_file), "--json")
    assert plan.json["stages"][0]["state"] == "started"
    assert plan.json["stages"][0]["silent_end"] is None
    assert "without an error message" not in halo("run", str(spec_file)).err
