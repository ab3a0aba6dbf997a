"""Measures the CPU time of `halo --help` and `halo plugins`: medians of user plus system time.

    python benchmarks/startup.py [RUNS]

The commands take turns, so that a change of the machine's load affects all of them. `python -c
pass` shows the time of the interpreter alone.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HALO = str(Path(sys.executable).with_name("halo"))

COMMANDS: dict[str, tuple[Sequence[str], float | None]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "python -c 'import click'": ([sys.executable, "-c", "import click"], None),
    "halo --help": ([HALO, "--help"], 100.0),
    "halo plugins": ([HALO, "plugins"], 150.0),
}
"""Commands by title, each with its limit in CPU milliseconds."""


def cpu_milliseconds(command: Sequence[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = after.ru_utime - before.ru_utime
    system = after.ru_stime - before.ru_stime
    return 1000 * (user + system)


def measure(runs: int) -> dict[str, list[float]]:
    # Compiled modules are kept, as in an installation.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for command, _ in COMMANDS.values():
        cpu_milliseconds(command, environment)
    times: dict[str, list[float]] = {title: [] for title in COMMANDS}
    for _ in range(runs):
        for title, (command, _) in COMMANDS.items():
            times[title].append(cpu_milliseconds(command, environment))
    return times


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    print(f"Python {platform.python_version()}, {platform.machine()}, {runs} runs, CPU ms")
    print(f"{'command':26}{'median':>8}{'lowest':>8}{'target':>8}")
    for title, times in measure(runs).items():
        target = COMMANDS[title][1]
        limit = f"{target:.0f}" if target else "-"
        print(f"{title:26}{statistics.median(times):8.0f}{min(times):8.0f}{limit:>8}")


if __name__ == "__main__":
    main()
