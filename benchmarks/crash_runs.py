"""A small run for `kill.py` and `damage.py`, halo's commands as processes, and their results.

The run makes a model, trains it, samples, labels the samples, trains on the labels, samples
again, and asks a judge at a local endpoint. Each command is a separate process. It is forked from a
server that has imported torch, so it starts in a tenth of a second and can be killed like any other
process.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from toy_spec import TINY

from halo_judge.testing import ChatServer

SPEC = (
    TINY
    + """\
stages:
  learn: {use: train, loss: sft, data: rows, batch_size: 4, steps: 6, checkpoint_every: 2,
    keep_last: 2, learning_rate: 0.01, log_every: 1, device: cpu%(processes)s}
  answers: {use: sample, from: learn, prompts: held, n: 6, batch_size: 2, max_new_tokens: 6,
    device: cpu}
  marks: {use: label, of: answers, judge: oracle, feedback: binary, threshold: median}
  align: {use: train, from: learn, loss: {use: kto, undesirable_weight: auto}, data: marks,
    batch_size: 4, steps: 2, learning_rate: 0.01, device: cpu}
  better: {use: sample, from: align, prompts: held, n: 6, max_new_tokens: 6, device: cpu}
  win: {use: judge, of: better, against: target, judge: {use: gpt-4, base_url: %(url)s,
    api_key_env: null, concurrency: 1}}
tracking: %(tracking)s
"""
)

HERE = str(Path(__file__).parent)
PRELOAD = ["crash_preload"]
"""Modules that the server of forks imports. None of them starts a thread that a fork would miss."""
WORDS_OF_FAULTS = ("Traceback (most recent call last)", "internal error")
PYTHON_S_ERRORS = {name for name in dir(builtins) if name.endswith("Error")}
TIMINGS = {"tok_s", "step_s", "peak_gb", "wall_s"}
"""Metrics that are another number in each run."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: Its exit code; -N for signal N; None if it did not end in time and was killed.
        said: The text of stdout and stderr.
        seconds: Its duration.
    """

    code: int | None
    said: str
    seconds: float

    def fault(self) -> str | None:
        """Returns what no command should do, whatever it is given; None if it did not."""
        if self.code is None:
            return f"did not end within {self.seconds:.0f} s"
        if self.code not in (0, 1, 2, 3):
            return f"ended with code {self.code}"
        if words := [words for words in WORDS_OF_FAULTS if words in self.said]:
            return f"said {words[0]!r}"
        # With --json, an internal error has the class of an exception of Python.
        kinds = re.findall(r'"type": "(\w+)"', self.said)
        if internal := [kind for kind in kinds if kind in PYTHON_S_ERRORS]:
            return f"said the internal error {internal[0]}"
        return None


def longer(body: Mapping[str, Any]) -> str:
    """Returns a verdict as the judge's endpoint says it: the longer text is better."""
    asked = body["messages"][-1]["content"]
    lengths = [len(part) for part in re.split(r"(?i)(?:answer|response) [AB]", asked)[-2:]]
    winner = "A" if lengths[0] >= lengths[-1] else "B"
    return json.dumps({"comparison": "by length", "verdict": winner})


@contextmanager
def endpoint() -> Iterator[ChatServer]:
    """Serves the judge on this machine. It charges once for a request and its repetitions."""
    with ChatServer(longer, remembers=True) as server:
        yield server


def write_spec(folder: Path, url: str, *, tracking: Sequence[str] = (), processes: int = 1) -> Path:
    """Writes the spec of the run into a folder, and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = SPEC % {
        "url": url,
        "tracking": json.dumps(list(tracking)),
        "processes": f", processes: {processes}" if processes > 1 else "",
    }
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def start(
    arguments: Sequence[str], folder: Path, begin: Callable[[], None] | None = None
) -> BaseProcess:
    """Starts a command of halo in a folder.

    Args:
        arguments: The words after ``halo``.
        folder: The working folder. `said.txt` in it gets the output.
        begin: A function that is called in the process first, for example to have it killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    # The server finds what it preloads here, and the workers of a run find halo where it does.
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([HERE, *filter(None, sys.path)]))
    process = context.Process(target=_called, args=(list(arguments), folder, begin))
    process.start()
    return process


def wait(process: BaseProcess, folder: Path, timeout_s: float = 120.0) -> Ended:
    """Waits for a command, and kills it and its processes when the time is over."""
    started = time.monotonic()
    process.join(timeout_s)
    seconds = time.monotonic() - started
    late = process.exitcode is None
    if late:
        for child in [*children(process), psutil.Process(process.pid)]:
            child.kill()
        process.join()
    path = folder / "said.txt"  # A process that was killed at once has not made it.
    said = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return Ended(None if late else process.exitcode, said, seconds)


def halo(arguments: Sequence[str], folder: Path, begin: Callable[[], None] | None = None) -> Ended:
    """Runs a command of halo in a folder; see `start`."""
    return wait(start(arguments, folder, begin), folder)


def children(process: BaseProcess) -> list[psutil.Process]:
    """Returns all processes that a command has started, and those that they have started."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _called(arguments: Sequence[str], folder: Path, begin: Callable[[], None] | None) -> None:
    os.setsid()
    os.chdir(folder)
    with (folder / "said.txt").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    os.environ["HF_HUB_OFFLINE"] = "1"
    from halo_core.cli import call

    if begin is not None:
        begin()
    code = call(list(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    # As the interpreter ends a program; multiprocessing would wait for threads of its own.
    os._exit(code)


def results(workspace: Path) -> dict[str, str]:
    """Returns the hash of each product of the runs in a workspace, by run, stage and file.

    Lines are compared without check values and without their order.
    """
    found = {}
    for run, stage in _stages(workspace):
        folder = workspace / stage["folder"]
        id_ = f"{run}: {stage['id']}"
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.suffix == ".jsonl" and name != "events.jsonl":
                found[f"{id_}: {name}"] = _hash(sorted(_lines(path)))
            elif name.startswith("model/") and path.is_file():
                found[f"{id_}: {name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
        metrics = json.loads((folder / "done.json").read_text(encoding="utf-8"))["metrics"]
        stable = {name: number for name, number in metrics.items() if name not in TIMINGS}
        found[f"{id_}: metrics"] = _hash(stable)
    return found


def _stages(workspace: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the stages of all runs, with the name of the run without its hash."""
    for record in sorted(workspace.glob("runs/*/run.json")):
        for stage in json.loads(record.read_text(encoding="utf-8"))["stages"]:
            yield record.parent.name.rpartition("-")[0], stage


def differences(workspace: Path, reference: Mapping[str, str]) -> list[str]:
    """Returns the products that are not those of an undisturbed run."""
    found = results(workspace)
    names = sorted({*found, *reference})
    return [name for name in names if found.get(name) != reference.get(name)]


def _lines(path: Path) -> list[str]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line.pop("crc", None)
    return [json.dumps(line, sort_keys=True) for line in lines]


def _hash(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
