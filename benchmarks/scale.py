"""Measures many rows, many cells and many steps on one machine: processor time and memory.

    python benchmarks/scale.py [--only rows holdout tiny suite rerun] [--size 0.1] [--runs 1]

Parts: `rows` (300,000 rows of 115 MB up to the first training step, next to tokenizers' own
`encode_batch` on the same texts), `holdout` (the same with a tenth held out and evaluated on),
`tiny` (a million rows of a few letters, next to a tenth of them), `suite` (`halo plan` of 1,000
cells), `rerun` (a finished run of 20,000 steps again). Everything is made from a seed, in a
temporary folder. `--size` makes the parts smaller. Each command is a process of its own, with one
thread. Memory is the largest resident memory, with the pages of mapped files. Processor times grow
if other programs use the machine. The exit code is 1 if a number is not as wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scaling.rerun import make_finished_run
from scaling.rows import chat_rows, tiny_rows, write_model, write_rows
from scaling.specs import SUITE, rerun_spec, rows_spec

HERE = Path(__file__).parent
ROWS, TINY, STEPS = 300_000, 1_000_000, 20_000
SEED = 0


class Line(NamedTuple):
    """A line of the table: what was measured, the number, and the largest that is wanted."""

    what: str
    measured: float
    wanted: float | None
    unit: str


def main() -> int:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_model(model, SEED)
        runs = []
        for number in range(options.runs):
            found: list[Line] = []
            for part in options.only:
                own = Path(folder) / f"{part}-{number}"
                own.mkdir()
                found += PARTS[part](own, model, options.size)
            runs.append(found)
    print(f"{options.runs} run{'s' * (options.runs > 1)}, size {options.size:g}; medians\n")
    print("| what | measured | wanted |\n|---|---|---|")
    missed = 0
    for lines in zip(*runs, strict=True):
        line = lines[0]._replace(measured=statistics.median(each.measured for each in lines))
        wanted = "" if line.wanted is None else f"at most {line.wanted:,.0f} {line.unit}"
        print(f"| {line.what} | {line.measured:,.1f} {line.unit} | {wanted} |")
        missed += line.wanted is not None and line.measured > line.wanted
    return int(missed > 0)


def rows(folder: Path, model: Path, size: float) -> list[Line]:
    return _rows(folder, model, size, holdout=False)


def holdout(folder: Path, model: Path, size: float) -> list[Line]:
    return _rows(folder, model, size, holdout=True)


def _rows(folder: Path, model: Path, size: float, *, holdout: bool) -> list[Line]:
    count = round(ROWS * size)
    data = folder / "rows.jsonl"
    written = write_rows(data, chat_rows(count, SEED))
    found = _first_step(folder, model, data, holdout=holdout)
    own = _child("--tokenizers", model, data)
    base = _imports(folder, found["modules"])
    name = f"{count:,} rows of {written / 1e6:.0f} MB{', a tenth held out' if holdout else ''}"
    memory = found["memory"]["peak"] - base
    return [
        Line(f"{name}: `encode_batch` alone", own["cpu"], None, "s"),
        Line(f"{name}: up to the first step", found["cpu"], own["cpu"] + 40, "s"),
        Line(f"{name}: memory above the imports' {base:.0f} MB", memory, 250, "MB"),
    ]


def tiny(folder: Path, model: Path, size: float) -> list[Line]:
    lines, peaks = [], []
    counts = [round(TINY * size * share) for share in (0.1, 1)]
    for count in counts:
        own = folder / str(count)
        own.mkdir()
        data = own / "rows.jsonl"
        write_rows(data, tiny_rows(count, SEED))
        found = _first_step(own, model, data, holdout=False)
        peaks.append(found["memory"]["peak"])
        lines.append(Line(f"{count:,} tiny rows: up to the first step", found["cpu"], None, "s"))
    grown = (peaks[1] - peaks[0]) * 1e6 / (counts[1] - counts[0])
    return [*lines, Line("tiny rows: growth of memory per row", grown, 50, "bytes")]


def suite(folder: Path, model: Path, size: float) -> list[Line]:
    data = folder / "rows.jsonl"
    write_rows(data, chat_rows(3000, SEED))
    seeds = max(1, round(10 * size))
    spec = folder / "spec.yaml"
    spec.write_text(SUITE.format(model=model, data=data, seeds=[*range(1, seeds + 1)]))
    cpu = _halo("plan", spec, folder / "workspace")
    return [Line(f"a suite of {100 * seeds:,} cells: `halo plan`", cpu, 10, "s")]


def rerun(folder: Path, model: Path, size: float) -> list[Line]:
    data = folder / "rows.jsonl"
    write_rows(data, chat_rows(300, SEED))
    spec, workspace, steps = folder / "spec.yaml", folder / "workspace", round(STEPS * size)
    spec.write_text(rerun_spec("rerun", model, data))
    make_finished_run(spec, workspace, steps)
    again = _halo("run", spec, workspace)
    spec.write_text(rerun_spec("another", model, data))
    other = _halo("run", spec, workspace)
    name = f"a finished run of {steps:,} steps"
    return [
        Line(f"{name}, again", again, 3, "s"),
        Line(f"{name}, under another name", other, None, "s"),
    ]


PARTS: dict[str, Callable[[Path, Path, float], list[Line]]] = {
    "rows": rows,
    "holdout": holdout,
    "tiny": tiny,
    "suite": suite,
    "rerun": rerun,
}


def _first_step(folder: Path, model: Path, data: Path, *, holdout: bool) -> dict[str, Any]:
    spec = folder / "spec.yaml"
    spec.write_text(rows_spec(model, data, holdout=holdout))
    return _child(folder / "workspace", spec)


def _imports(folder: Path, modules: Sequence[str]) -> float:
    """Returns the memory of a process that has imported the same modules, in MB."""
    names = folder / "modules.json"
    names.write_text(json.dumps(modules))
    return float(_child("--imports", names)["memory"]["peak"])


def _child(*arguments: object) -> dict[str, Any]:
    done = _run([sys.executable, "-m", "scaling.first_step", *map(str, arguments)])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _halo(command: str, spec: Path, workspace: Path) -> float:
    """Returns the processor seconds of a command of halo."""
    before = os.times()
    _run([sys.executable, "-m", "halo_core.cli", command, str(spec), "--workspace", str(workspace)])
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Many rows, cells and steps on one machine.")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--size", type=float, default=1.0, help="share of the full sizes")
    parser.add_argument("--runs", type=int, default=1, help="number of times; medians are shown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
