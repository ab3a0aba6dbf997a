"""The number of usable cores is asked for in one place, and everything follows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from halo_core.doctor.machine import machine_findings
from halo_core.suite.cells import shares
from halo_core.usable_cores import usable_cores

ROOT = Path(__file__).parents[2]
ASKS = ("sched_getaffinity", "process_cpu_count")


def test_a_process_that_may_use_some_cores_has_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8, 9}, raising=False)
    assert usable_cores() == 4
    assert [share["OMP_NUM_THREADS"] for share in shares(2, {}, [])] == ["2", "2"]
    (found,) = [each for each in machine_findings(tmp_path) if each.name == "processor"]
    assert found.value.endswith("4 cores for this process")


@pytest.mark.parametrize(("machine", "cores"), [(6, 6), (None, 1)])
def test_without_linux_all_cores_of_the_machine_are_usable(
    machine: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert usable_cores() == cores


def test_the_system_is_asked_in_one_place() -> None:
    sources = [*ROOT.glob("halo_core/**/*.py"), *ROOT.glob("*/*/src/**/*.py")]
    asking = [
        str(path.relative_to(ROOT))
        for path in sources
        if any(name in path.read_text("utf-8") for name in ASKS)
    ]
    assert asking == ["halo_core/usable_cores.py"]
