"""The script that measures halo on a GPU, with tiny models on this machine's processor."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
FIRST = "import json, os, sys, time; print(json.dumps({'found': 1}), flush=True);"
"""The beginning of a program that prints a result, and continues."""


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHON": sys.executable},
        check=False,
    )


@pytest.mark.slow
def test_measurements_are_written_and_a_late_one_is_a_row(tmp_path: Path) -> None:
    done = run(tmp_path, "--tiny", "--only", "machine", "resume", "--seconds", "250")
    assert done.returncode == 0, done.stderr
    machine, resume = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert machine["torch"]
    assert machine["matrix_rate_float32_tflops"] > 0
    assert resume["repeated_same_bits"]
    assert resume["resumed_same_bits"]
    assert "resumed same bits yes" in (tmp_path / "table.md").read_text("utf-8")


@pytest.mark.slow
def test_a_measurement_that_takes_too_long_does_not_end_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, "--tiny", "--only", "machine", "numbers", "--seconds", "1")
    assert done.returncode == 1
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [result["failed"] for result in results] == ["took longer than 1 s"] * 2


def test_a_folder_of_wheels_that_is_not_there_and_an_unknown_name_are_refused(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, "--wheels", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "is not a folder" in done.stderr
    assert run(tmp_path, "--only", "nothing").returncode == 2


class Begun(subprocess.Popen[str]):
    """A program whose time to end begins with its first output, however busy the machine is."""

    def __init__(self, *arguments: Any, stdout: IO[str], **options: Any) -> None:
        super().__init__(*arguments, stdout=stdout, **options)
        self._printed = stdout

    def wait(self, timeout: float | None = None) -> int:
        while self.poll() is None and os.fstat(self._printed.fileno()).st_size == 0:
            time.sleep(0.01)
        return super().wait(timeout)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that runs a measurement."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("gpu.measure")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("gpu", "speed")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("program", "failed"),
    [
        (f"{FIRST} print('bye')", None),
        (f"{FIRST} time.sleep(600)", "took longer than 1 s"),
        (f"{FIRST} os.kill(os.getpid(), 9)", "killed by signal 9: it printed no error"),
        (f"{FIRST} import not_there", "exit code 1: ModuleNotFoundError: No module named 'not_t"),
        # Its child holds the output open, and would hold the GPU's memory.
        (f"{FIRST} os.fork() or time.sleep(600)", None),
    ],
    ids=["prints more", "too late", "killed", "a missing package", "leaves a child"],
)
def test_what_a_measurement_found_before_its_end_is_kept(
    measure: Any, program: str, failed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure.subprocess, "Popen", Begun)
    seconds = 1 if failed == "took longer than 1 s" else 200
    result = measure.measured("some", [sys.executable, "-c", program], seconds)
    assert result["found"] == 1
    if failed is None:
        assert "failed" not in result
    else:
        assert result["failed"].startswith(failed)


def test_a_measurement_without_a_result_says_so(measure: Any) -> None:
    result = measure.measured("some", [sys.executable, "-c", "print('[1]')"], 200)
    assert result["failed"] == "it printed no result"


@pytest.mark.parametrize(
    ("gigabytes", "most"),
    [
        (150, {"sft": 32, "kto": 32, "dpo": 16}),
        (40, {"sft": 4, "kto": 4, "dpo": 2}),
        (9, {"dpo": 2}),
    ],
)
def test_trl_gets_the_rows_that_fit_by_estimate(
    measure: Any, monkeypatch: pytest.MonkeyPatch, gigabytes: int, most: dict[str, int]
) -> None:
    import torch

    sizes = importlib.import_module("gpu.micro_batch")
    models = importlib.import_module("gpu.models")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (gigabytes * 10**9,) * 2)
    size = models.size_of("1b", tiny=False)
    rows = {loss: models.draw_rows(loss, 160) for loss in most}
    assert {loss: sizes.micro_batch(size, loss, rows[loss], 32) for loss in most} == most


def test_a_wheel_that_cannot_be_installed_is_a_row_and_the_others_follow(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / (other := "other-1.0-cp26-cp26-win32.whl")).write_bytes(b"")
    done = run(tmp_path / "out", "--tiny", "--wheels", str(wheels), "--minutes", "0")
    assert done.returncode == 1
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert results[0] == {"name": "wheels", "failed": f"not installed: {other}"}
    assert len(results) > 15
    assert {result["not run"] for result in results[1:]} == {"no time was left"}
    assert "no time was left" in (tmp_path / "out" / "table.md").read_text("utf-8")
