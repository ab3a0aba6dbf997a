"""Runs the measurements one after another, in order of value, and writes what they found.

    python -m gpu.run_all OUT [--tiny] [--only NAME ...] [--minutes 8] [--seconds 40]

A measurement that fails, is killed or takes too long is a row of the table with what it found until
then, and the others follow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.measure import measured
from gpu.table import write_table


@dataclass(frozen=True)
class Measurement:
    """A measurement.

    Attributes:
        name: Its name on the command line.
        module: The module of this package that prints its result as one line of JSON.
        arguments: Arguments of the module.
    """

    name: str
    module: str
    arguments: Sequence[str] = ()


def _speeds(size: str, losses: Sequence[str]) -> list[Measurement]:
    return [
        Measurement(f"{loss} {size} {side}", "speed", (side, loss, size))
        for loss in losses
        for side in ("halo", "TRL")
    ]


MEASUREMENTS = (
    Measurement("machine", "machine"),
    Measurement("numbers", "numbers"),
    Measurement("attention", "attention"),
    Measurement("resume", "resume"),
    Measurement("make the 1b model", "make_model", ("1b",)),
    *_speeds("1b", ("kto", "dpo", "sft")),
    Measurement("largest batch", "largest_batch"),
    Measurement("make the 8b model", "make_model", ("8b-lora",)),
    # SFT first: it loads no reference, so it needs the least time.
    *_speeds("8b-lora", ("sft", "kto", "dpo")),
)


def main() -> int:
    options = _parser().parse_args()
    known = [each.name for each in MEASUREMENTS]
    if wrong := set(options.only or ()) - set(known):
        print(f"--only {sorted(wrong)}; expected some of {known}", file=sys.stderr)
        return 2
    # The end of a lent machine: the models in memory are removed, and the programs are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    end = time.monotonic() + options.minutes * 60
    results: list[dict[str, Any]] = []
    if options.missing:
        results.append({"name": "wheels", "failed": f"not installed: {options.missing}"})
    models = Path(tempfile.mkdtemp(prefix="halo-gpu-", dir=_roomy()))
    try:
        for each in MEASUREMENTS:
            if options.only and each.name not in options.only:
                continue
            left = min(options.seconds, end - time.monotonic())
            if left < 1:
                results.append({"name": each.name, "not run": "no time was left"})
            else:
                results.append(_run(each, models, left, tiny=options.tiny))
            _write(options.out, results, tiny=options.tiny)
    finally:
        shutil.rmtree(models, ignore_errors=True)
    print((options.out / "table.md").read_text("utf-8"))
    return 0 if all("failed" not in result for result in results) else 1


def _run(each: Measurement, models: Path, seconds: float, *, tiny: bool) -> dict[str, Any]:
    """Returns the result of a measurement, or why there is none."""
    command = [sys.executable, "-m", f"gpu.{each.module}", *each.arguments, str(models)]
    if tiny:
        command.append("--tiny")
    print(f"{each.name} ...", file=sys.stderr, flush=True)
    return measured(each.name, command, seconds)


def _write(out: Path, results: Sequence[dict[str, Any]], *, tiny: bool) -> None:
    """Writes both files next to their places and renames them, so that neither is ever cut."""
    json_file, table = out / "results.json", out / "table.md"
    for target in (json_file, table):
        begun = target.with_suffix(".begun")
        if target is json_file:
            begun.write_text(json.dumps(results, indent=1), "utf-8")
        else:
            write_table(begun, results, tiny=tiny)
        begun.replace(target)


def _roomy() -> str | None:
    """Returns a folder in memory with room for the models; None for the usual one."""
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 48e9:
        return str(shared)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure halo on one GPU.")
    parser.add_argument("out", type=Path, help="folder of table.md and results.json")
    parser.add_argument("--tiny", action="store_true", help="tiny models, also on a CPU")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the measurements")
    parser.add_argument("--minutes", type=float, default=8, help="limit of all measurements")
    parser.add_argument("--seconds", type=float, default=40, help="limit of each measurement")
    parser.add_argument("--missing", default="", help="wheels that could not be installed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
