"""Measures the wall time, CPU time, processes and MLflow migrations of the fast tests.

    python benchmarks/test_time.py [ARGUMENTS OF PYTEST]

Without arguments it runs `pytest -n 2 --dist worksteal`, as `make test` does. It prints the totals,
then the files and the tests that take the most CPU time. CPU time is user plus system time,
including the processes that a test starts and waits for. Compare CPU time if the machine does other
work, and wall time only if it does not.

This file is also a pytest plugin, which the command loads in each worker.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

RECORDS = "HALO_TEST_TIME"
"""Environment variable with the folder that takes the records of each worker."""

STARTS = {"subprocess.Popen", "os.posix_spawn", "os.fork"}
"""Audit events of a process that starts."""

counts: Counter[str] = Counter()


def cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def count(event: str, arguments: tuple[Any, ...]) -> None:
    """Counts processes, and migrations by the file that alembic runs for each."""
    if event in STARTS:
        counts["processes"] += 1
    elif event == "open" and "db_migrations" in str(arguments[0]) and "env." in str(arguments[0]):
        counts["migrations"] += 1


def pytest_configure(config: pytest.Config) -> None:
    if RECORDS in os.environ:
        sys.addaudithook(count)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Writes one line per test. The first test of a file includes the file's imports."""
    before, started = dict(counts), time.monotonic()
    cpu = cpu_seconds(resource.RUSAGE_SELF) + cpu_seconds(resource.RUSAGE_CHILDREN)
    result = yield
    spent = cpu_seconds(resource.RUSAGE_SELF) + cpu_seconds(resource.RUSAGE_CHILDREN) - cpu
    record = {"test": item.nodeid, "cpu": spent, "wall": time.monotonic() - started}
    record |= {key: value - before.get(key, 0) for key, value in counts.items()}
    path = Path(os.environ[RECORDS], f"{os.getpid()}.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return result


def read(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def show(title: str, groups: dict[str, Counter[str]], rows: int) -> None:
    print(f"\n{'CPU s':>8}{'wall s':>8}{'starts':>8}{'migr.':>7}  {title}")
    ordered = sorted(groups.items(), key=lambda pair: -pair[1]["cpu"])
    for name, group in ordered[:rows]:
        numbers = f"{group['cpu']:8.1f}{group['wall']:8.1f}"
        print(f"{numbers}{group['processes']:8}{group['migrations']:7}  {name}")


def grouped(records: Sequence[dict[str, Any]], whole: bool) -> dict[str, Counter[str]]:
    groups: dict[str, Counter[str]] = {}
    for record in records:
        name = record["test"] if whole else record["test"].split("::")[0]
        groups.setdefault(name, Counter()).update({k: v for k, v in record.items() if k != "test"})
    return groups


def main() -> int:
    arguments = sys.argv[1:] or ["-q", "-n", "2", "--dist", "worksteal"]
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, RECORDS: folder, "PYTHONPATH": path.rstrip(os.pathsep)}
        command = [sys.executable, "-m", "pytest", "-p", "test_time", *arguments]
        started, cpu = time.monotonic(), cpu_seconds(resource.RUSAGE_CHILDREN)
        code = subprocess.run(command, env=environment, check=False).returncode
        wall = time.monotonic() - started
        cpu = cpu_seconds(resource.RUSAGE_CHILDREN) - cpu
        records = read(Path(folder))
    total: Counter[str] = sum(grouped(records, whole=False).values(), Counter())
    print(f"\nPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"{len(records)} tests, {wall:.0f} s wall, {cpu:.0f} s CPU ({total['cpu']:.0f} in tests)")
    print(f"{total['processes']} processes started, {total['migrations']} MLflow migrations")
    show("file", grouped(records, whole=False), 60)
    show("test", grouped(records, whole=True), 100)
    return code


if __name__ == "__main__":
    sys.exit(main())
