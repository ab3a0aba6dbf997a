"""Workers end with the run that started them, and the next run finds nobody in the folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from halo_core.run.lifeline import LIFELINE, STARTER, end_with_controller, on_lifeline

Halo = Callable[..., Any]

MADE = Path(__file__).parents[1] / "made_components.py"
STEPPING = """\
import sys, time
from typing import Annotated, ClassVar
from pydantic import Field
from halo_core.option_markers import Execution, LearnRef
from halo_core.stage import Product, Stage, StageContext, StageResult


class Stepping(Stage):
    produces: ClassVar[Product] = "model"
    data: LearnRef | None = Field(default=None, description="rows")
    total: Annotated[int, Execution()] = Field(default=10**9, description="steps")
    launcher: Annotated[bool, Execution()] = Field(default=False, description="between")

    def command(self, folder):
        worker = [sys.executable, "-m", "halo_core.worker", str(folder)]
        # As a launcher that knows nothing of halo, and waits for what it started.
        script = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
        return [sys.executable, "-c", script, *worker] if self.launcher else worker

    def run(self, context: StageContext) -> StageResult:
        kept = context.folder / "step.txt"
        step = int(kept.read_text()) if kept.exists() else 0
        while step < self.total:
            step += 1
            context.events.append("metrics", stage=context.id, step=step, metrics={"loss": 1.0})
            kept.with_suffix(".new").write_text(str(step))
            kept.with_suffix(".new").replace(kept)
            time.sleep(0.01)
        (context.folder / "model").mkdir(exist_ok=True)
        (context.folder / "model" / "config.json").write_text("{}")
        return StageResult({"steps": step}, "stepped")
"""


@pytest.fixture
def stepping(tmp_path: Path) -> Path:
    code = tmp_path / "stepping.py"
    code.write_text(STEPPING)
    spec = tmp_path / "stepping.yaml"
    spec.write_text(
        "name: stepping\nseed: 1\nreports: []\nmodel: {hub: someone/small, revision: main}\n"
        f"data: {{test: {{use: 'file:{MADE}:Pairs', split: test}}}}\n"
        f"stages: {{steps: {{use: 'file:{code}:Stepping'}}}}\n"
    )
    return spec


def start(spec: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "halo_core.cli", "run", str(spec), *options]
    return subprocess.Popen(
        command, cwd=spec.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def stage_folder(spec: Path) -> Path | None:
    return next(iter((spec.parent / "workspace" / "stages").glob("[!.]*-*")), None)


def owner(spec: Path) -> int | None:
    folder = stage_folder(spec)
    if folder is None or not (folder / "owner.json").exists():
        return None
    return int(json.loads((folder / "owner.json").read_text())["process"])


def steps(spec: Path) -> list[int]:
    folder = stage_folder(spec)
    if folder is None or not (folder / "events.jsonl").exists():
        return []
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["step"] for event in events if event["type"] == "metrics"]


def lives(process: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("launcher", ["true", "false"])
def test_a_worker_that_has_work_for_days_ends_when_its_run_is_killed(
    launcher: str, halo: Halo, stepping: Path
) -> None:
    run = start(stepping, "--set", f"stages.steps.launcher={launcher}")
    wait_for(lambda: len(steps(stepping)) >= 5)
    worker = owner(stepping)
    assert worker is not None
    assert worker != run.pid
    run.kill()
    run.wait()
    wait_for(lambda: not lives(worker))
    left = steps(stepping)
    done = halo("run", str(stepping), "--set", f"stages.steps.total={left[-1] + 20}", "--json")
    assert done.code == 0, done.out + done.err
    assert "still works there" not in done.err
    # One step may occur twice: its event was written, and the step was not saved.
    assert [step for step in steps(stepping) if step > left[-1]] == [
        left[-1] + i for i in range(1, 21)
    ]


@pytest.fixture
def foreign_worker(stepping: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that somebody else started, without a controller, in the stage's folder."""
    run = start(stepping)
    wait_for(lambda: len(steps(stepping)) >= 1)
    run.kill()
    run.wait()
    folder = stage_folder(stepping)
    before = owner(stepping)
    command = [sys.executable, "-m", "halo_core.worker", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    wait_for(lambda: owner(stepping) not in (None, before))
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_run_names_the_process_that_still_works_in_its_folder(
    halo: Halo, stepping: Path, foreign_worker: subprocess.Popen[bytes]
) -> None:
    patience = "import halo_core.workspace.lock as lock; lock.PATIENCE_S = 1.0; "
    code = f"{patience}from halo_core.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(stepping)]
    refused = subprocess.run(
        command, cwd=stepping.parent, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "steps: a process of an earlier run is still working there; waiting" in refused.stderr
    pid = foreign_worker.pid
    assert f"end it with: kill -9 {pid}. Nothing that it saved is lost" in refused.stderr
    assert foreign_worker.poll() is None
    os.kill(pid, signal.SIGKILL)
    foreign_worker.wait()
    last = steps(stepping)[-1]
    done = halo("run", str(stepping), "--set", f"stages.steps.total={last + 1}")
    assert done.code == 0, done.out + done.err


def test_a_second_signal_ends_a_worker_at_once(
    stepping: Path, foreign_worker: subprocess.Popen[bytes]
) -> None:
    foreign_worker.send_signal(signal.SIGTERM)
    before = len(steps(stepping))
    # It ignores the flag. The first of these steps may have been under way before the signal.
    wait_for(lambda: len(steps(stepping)) >= before + 2)
    foreign_worker.send_signal(signal.SIGTERM)
    assert foreign_worker.wait(120) == 143


def test_a_run_that_reads_rows_without_end_ends_at_a_signal(stepping: Path) -> None:
    code = stepping.with_name("endless.py")
    code.write_text(
        "import itertools\nfrom halo_core.data import DataInfo, DataSource, Loaded\n\n\n"
        "def rows():\n"
        "    for i in itertools.count():\n"
        "        if i == 1000:\n"
        "            open('begun', 'w').close()\n"
        "        yield {'text': f't{i}'}\n\n\n"
        "class Endless(DataSource):\n"
        "    def inspect(self):\n"
        "        return DataInfo('text', (), '1')\n\n"
        "    def load(self, split):\n"
        "        return Loaded(rows())\n"
    )
    text = stepping.read_text().replace("stages: {steps: {", "stages: {steps: {data: rows, ")
    text = text.replace("data: {", f"data: {{rows: {{use: 'file:{code}:Endless'}}, ", 1)
    stepping.write_text(text)
    run = start(stepping)
    wait_for(stepping.with_name("begun").exists)
    run.send_signal(signal.SIGTERM)
    assert run.wait(120) == 143
    (events,) = stepping.parent.glob("workspace/runs/*/events.jsonl")
    assert json.loads(events.read_text().splitlines()[-1])["status"] == "interrupted"


def test_a_process_without_a_lifeline_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # The standard input of tests is not a pipe.
    monkeypatch.delenv(LIFELINE, raising=False)
    assert not end_with_controller()
    # The pipe of another machine, or a pipe that a launcher closed.
    monkeypatch.setenv(LIFELINE, "1:1")
    assert not end_with_controller()


def test_what_is_left_of_a_command_ends_with_the_block(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; "
        f"from halo_core.run.lifeline import end_with_controller; os.environ.pop('{STARTER}'); "
        "assert end_with_controller(); Path(sys.argv[1]).write_text(str(os.getpid())); "
        "time.sleep(600)"
    )
    told = tmp_path / "told"
    with on_lifeline([sys.executable, "-c", code, str(told)]) as process:
        wait_for(lambda: told.exists() and told.read_text())
        assert process.poll() is None
    assert process.wait(60) == 1
