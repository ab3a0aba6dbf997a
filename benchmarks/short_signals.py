"""Sends signals to each short command at random moments, and gives the command again.

    python benchmarks/short_signals.py [--trials 2] [--seed 0] [--only verify ...]

Two small runs are made first. Each command is then called on a copy of them, undisturbed, and again
for each trial and each of SIGINT, SIGTERM and SIGHUP, which its process group gets, as from a
terminal. A fault is a traceback, an exit code that is not in the table of `halo_core.errors`, a
process that is left, a file that the undisturbed command does not write, or the same command given
again with another exit code or other files. `halo ui` and `halo serve` end normally with a signal.

The exit code is 1 if there is a fault. Two trials take about an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from signals import SPEC, left, start

SIGNALS = {"INT": 130, "TERM": 143, "HUP": 143}
MODEL, RUN = "first", "tiny"
COMMANDS = {
    "plugins": "plugins",
    "search": "plugins search kto",
    "show": "plugins show kto",
    "install": "plugins install halo-nothing --yes",
    "validate": "validate spec.yaml",
    "plan": "plan spec.yaml",
    "data": "data spec.yaml:rows --tokens 2",
    "sync": f"sync {RUN}",
    "inspect": "inspect kto dpo --out values.svg",
    "compare": f"compare {RUN} other --out compared",
    "report": f"report {RUN} --out page",
    "export": f"export {RUN}:{MODEL} exported",
    "verify": "verify --all",
    "init": "init new.yaml --model new --data rows.jsonl --method kto",
    "new": "new plugin halo-oak --kind loss",
    "check": "check kto",
    "schema": "schema",
    "doctor": "doctor spec.yaml",
    "runs": "runs",
    "runs show": f"runs show {RUN}",
    "runs gc": "runs gc --checkpoints --caches --yes",
    "runs rm": f"runs rm {RUN} --yes",
    "store": "store --prune --all",
    "ui": "ui --port 5917",
    "serve": f"serve {RUN}:{MODEL} --port 5918",
}
SERVERS = ("ui", "serve")
SERVES_S = 12.0
"""Seconds within which a server gets its signal."""

ROWS = {"prompt": "Hello?", "completion": "Hi!", "label": True}
JUDGED = {
    "answers": {"use": "sample", "from": "second", "prompts": "rows", "max_new_tokens": 4},
    "win": {"use": "judge", "judge": "longest", "of": "answers"},
}


def make_base(base: Path) -> None:
    """Makes the folder with a finished run that all commands get a copy of."""
    spec = SPEC | {"stages": SPEC["stages"] | JUDGED}  # type: ignore[operator]
    (base / "spec.yaml").write_text(json.dumps(spec))
    (base / "rows.jsonl").write_text(f"{json.dumps(ROWS)}\n" * 30)
    for more in ([], ["--set", "name=other", "--set", "seed=2"]):
        code, said = call(["run", "spec.yaml", *more], base, None, "")
        if code:
            sys.exit(f"the runs that all commands need failed: {said}")


def files(folder: Path) -> set[str]:
    """Returns the files below a folder, without locks."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {each for each in found if not each.endswith(".lock")}


def call(arguments: list[str], folder: Path, moment: float | None, word: str) -> tuple[int, str]:
    """Returns the exit code and the errors of a command that gets a signal at a moment."""
    process = start(arguments, folder, str(folder))
    if moment is not None:
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, signal.Signals[f"SIG{word}"])
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def trial(base: Path, name: str, moment: float, word: str, usual: tuple[int, set[str]]) -> str:
    """Returns what is wrong with a command that gets a signal, and with the same one after it."""
    wrong = []
    arguments = COMMANDS[name].split()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(base, Path(scratch) / "here"))
        before = files(folder)
        code, said = call(arguments, folder, moment, word)
        number = signal.Signals[f"SIG{word}"]
        if code not in {SIGNALS[word], -number, usual[0]}:
            wrong.append(f"exit code {code}")
        if ("Traceback" in said and "halo_core" in said) or "internal error" in said:
            wrong.append(f"a traceback: {said[-900:]}")
        # The next command that removes something empties the trash.
        extra = {each for each in files(folder) - before - usual[1] if "/trash/" not in each}
        if extra:
            wrong.append(f"left {sorted(extra)[:5]}")
        if name not in SERVERS:
            whole = files(folder) == usual[1]  # It was interrupted after its work.
            again, said = call(arguments, folder, None, "")
            if again != usual[0] and not (again == 2 and whole):
                wrong.append(f"given again, it ended with {again}: {said[-300:]}")
            elif files(folder) != usual[1] and code != usual[0]:
                other = sorted(files(folder) ^ usual[1])
                wrong.append(f"given again, {other[:5]} differ")
        if processes := left(str(folder)):
            wrong.append(f"{len(processes)} processes are left: {processes}")
    return "; ".join(wrong)


def main() -> int:
    """Runs the trials and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2, help="moments for each signal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=[*COMMANDS], default=[*COMMANDS])
    options = parser.parse_args()
    rng, faults, count = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        base.mkdir()
        make_base(base)
        for name in options.only:
            folder = Path(shutil.copytree(base, Path(scratch) / "usual"))
            begun, stop = time.monotonic(), SERVES_S if name in SERVERS else None
            code, said = call(COMMANDS[name].split(), folder, stop, "INT")
            took, usual = time.monotonic() - begun, (code, files(folder))
            print(f"{name}: exit code {code} after {took:.1f} s {said[-200:] if code else ''}")
            shutil.rmtree(folder)
            for word in [*SIGNALS] * options.trials:
                moment = rng.uniform(0.1, took)
                fault = trial(base, name, moment, word, usual)
                count += 1
                faults += bool(fault)
                print(f"{name}: {word} after {moment:.2f} s: {fault or 'right'}", flush=True)
    print(f"{faults} of {count} commands have a fault")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
