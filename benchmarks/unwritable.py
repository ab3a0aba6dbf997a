"""Counts what halo's commands do in places that are full, read-only, forbidden or too long.

    python benchmarks/unwritable.py [--only label] [--place full]

Each command is a real process with a finished small run. Its workspace or its output is on a disk
without room (a tmpfs that is filled up), on a file system that is mounted read-only, in folders
that this user may not write to, or has a name that the file system does not take. The first two
need root. A fault is an exit code other than the expected one, an internal error or a traceback, a
message without the path or without the need, no JSON object with `--json`, and a file that the
command removed or changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crash_runs import WORDS_OF_FAULTS
from toy_spec import TINY
from unwritable_places import FAULTS, Place

SPEC = (
    TINY
    + """\
stages:
  learn: {use: train, loss: sft, data: rows, batch_size: 4, steps: 6, device: cpu}
  answers: {use: sample, from: learn, prompts: held, n: 6, max_new_tokens: 6, device: cpu}
  win: {use: judge, of: answers, against: target, judge: longest}
tracking: [mlflow]
"""
)
NEEDS = (
    "bytes are free",
    "read-only",
    "this user may not",
    "too long",
    "Permission denied",
    "Read-only file system",
    "No space left on device",
)
"""Words of which a message has one, because it says what is in the way."""
LONG = ("too long", "longest")
"""Faults of names, with which even a reader fails."""
LIMIT_S = 300
LONGEST_MESSAGE = 400
ENDED = 1
"""Exit code of what failed after the work was done."""
REFUSED = 2
"""Exit code of what failed before any work."""


@dataclass(frozen=True)
class Command:
    """A command and where it writes.

    Attributes:
        name: Its name in the table.
        words: Its words. ``{ws}`` is the spoiled workspace, ``{out}`` a spoiled folder, ``{good}``
            a workspace that works, and ``{run}`` the run.
        codes: The exit codes that are expected. Exit code 0 needs no message.
        said: The standard input, for a command without `--json`.
        ended_s: Seconds after which Ctrl-C ends it; 0 for a command that ends by itself.
    """

    name: str
    words: str
    codes: tuple[int, ...] = (ENDED, REFUSED)
    said: str = ""
    ended_s: int = 0


COMMANDS = (
    Command("run, new", "run {spec} --set seed=3 --workspace {ws}", (REFUSED,)),
    Command("run, finished", "run {spec} --workspace {ws}", (REFUSED,)),
    Command("plan", "plan {spec} --set seed=3 --workspace {ws}", (0,)),
    Command("validate", "validate {spec}", (0,)),
    Command("data", "data {spec}:rows --workspace {ws}", (0,)),
    Command("data, a source", "data toy --workspace {ws}", (0,)),
    Command("init", "init {out}/spec.yaml --model new --data toy --method sft", (REFUSED,)),
    Command("new plugin", "new plugin manners --kind loss --folder {out}"),
    Command(
        "label",
        "label --judge longest --of {good}/{answers} --threshold median "
        "--out {out}/labels.jsonl --workspace {good}",
    ),
    Command(
        "label, workspace",
        "label --judge longest --of {good}/{answers} --threshold median "
        "--out {good}/labels.jsonl --workspace {ws}",
    ),
    Command(
        "judge",
        "judge --a {good}/{answers} --b target --judge longest "
        "--out {out}/verdicts.jsonl --workspace {good}",
    ),
    Command(
        "judge, workspace", "judge --a {good}/{answers} --b target --judge longest --workspace {ws}"
    ),
    Command("export", "export {run} {out}/model --workspace {good}"),
    Command("report", "report {run} --out {out}/report --workspace {good}"),
    Command("report, workspace", "report {run} --workspace {ws}"),
    Command("compare", "compare {run} {second} --out {out}/compared --workspace {good}"),
    Command("compare, csv", "compare {run} {second} --csv {out}/compared.csv --workspace {good}"),
    Command("compare, workspace", "compare {run} {second} --workspace {ws}"),
    Command("inspect", "inspect kto --out {out}/values.svg"),
    Command("inspect, workspace", "inspect kto --workspace {ws}"),
    Command("sync", "sync {run} --workspace {ws}"),
    Command(
        "ui",
        "ui --port 15987 --workspace {ws} --timeout 100",
        (0, ENDED, REFUSED),  # A database that cannot be written to is shown as a copy.
        ended_s=120,
    ),
    Command(
        "chat",
        "chat {run} --feedback {out}/chat --max-new-tokens 4 --workspace {good}",
        said="hello\n/up\n",
    ),
    Command("runs", "runs --workspace {ws}", (0,)),
    Command("runs show", "runs show {run} --workspace {ws}", (0,)),
    Command("runs note", "runs note {run} a-note --workspace {ws}"),
    Command("runs rename", "runs rename {run} another --workspace {ws}"),
    Command("runs rm", "runs rm {run} --yes --workspace {ws}", (0, ENDED, REFUSED)),
    Command("runs gc", "runs gc --yes --workspace {ws}", (0, ENDED, REFUSED)),
    Command("verify", "verify {run} --workspace {ws}", (0,)),
    Command("doctor", "doctor {spec} --workspace {ws}", (0, ENDED)),
)


def run_halo(
    words: Sequence[str], before: Sequence[str] = (), said: str = ""
) -> tuple[int, str, str]:
    """Runs the command, and returns its exit code, stdout and stderr."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "halo_core.cli", *words],
        input=said,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def digests(folder: Path) -> dict[str, str]:
    """Returns a digest of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@dataclass(frozen=True)
class Tried:
    """A command that was tried in a place.

    Attributes:
        code: Its exit code; None if it did not end in time.
        out: Its stdout.
        err: Its stderr.
        lost: The files that are gone or changed.
    """

    code: int | None
    out: str
    err: str
    lost: Sequence[str]

    def message(self) -> str:
        """Returns the kind, the place and the message of its error; "" if it has none."""
        try:
            error = json.loads(self.out).get("error")
        except ValueError:
            return self.err[-400:]
        return f"{error['type']}: {error['location']}: {error['message']}" if error else ""

    def fault(self, command: Command, kind: str, place: Place) -> str | None:
        """Returns what is wrong with its end; None if it is as it should be."""
        if self.code is None:
            return "did not end"
        if words := [words for words in WORDS_OF_FAULTS if words in self.out + self.err]:
            return f"said {words[0]!r}"
        if self.lost:
            return f"lost {self.lost[0]}"
        codes = (0, ENDED, REFUSED) if kind == "longest" else command.codes
        if self.code not in (*codes, REFUSED if kind in LONG else codes[0]):
            return f"exit code {self.code}"
        if not command.said and not self.out.startswith("{"):
            return "no JSON object"
        if self.code == 0 or command.name == "doctor":  # It lists what is missing.
            return None
        if kind == "longest" and "too long" in self.message():
            return None
        if not any(need in self.message() for need in NEEDS):
            return "the need is not named"
        return None if str(place.folder) in self.message() else "the path is not named"


def lost(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Returns the files that are gone or changed. Records and databases may change."""
    ends = (".jsonl", ".db", ".json", ".log")
    return [
        name
        for name, digest in before.items()
        if name not in after or (after[name] != digest and not name.endswith(ends))
    ]


@dataclass(frozen=True)
class Prepared:
    """Two finished runs of a spec, which are copied for each trial.

    Attributes:
        spec: The spec.
        workspace: The workspace.
        runs: The names of the runs.
        answers: The folder of the answers of the first one.
    """

    spec: Path
    workspace: Path
    runs: Sequence[str]
    answers: str

    def tried(self, command: Command, kind: str) -> tuple[Tried, str | None]:
        """Tries a command in a place, and returns how it ended and what is wrong with that."""
        with tempfile.TemporaryDirectory() as scratch:
            good, folder = Path(scratch, "good"), Path(scratch, "place")
            shutil.copytree(self.workspace, good, symlinks=True)
            folder.mkdir()
            with FAULTS[kind](folder, good) as place:
                held = {} if kind in LONG else digests(place.workspace)
                ended = self._ended(command, place, good)
                gone = lost(held, digests(place.workspace)) if held else []
                if command.name in ("runs rm", "runs gc") and ended.code == 0:
                    gone = []
                tried = replace(ended, lost=gone)
                return tried, tried.fault(command, kind, place)

    def _ended(self, command: Command, place: Place, good: Path) -> Tried:
        words = [
            word.format(
                ws=place.workspace,
                out=place.out,
                good=good,
                spec=self.spec,
                run=self.runs[0],
                second=self.runs[1],
                answers=self.answers,
            )
            for word in command.words.split()
        ]
        try:
            given = [] if command.said else ["--json"]
            before = [*_ending(command), *place.before]
            return Tried(*run_halo([*words, *given], before, command.said), [])
        except subprocess.TimeoutExpired:
            return Tried(None, "", "", [])


def _ending(command: Command) -> list[str]:
    """Returns the words before a command that end it by Ctrl-C."""
    limit = str(command.ended_s)
    return ["timeout", "--preserve-status", "--signal=INT", limit] if command.ended_s else []


def prepared(folder: Path) -> Prepared:
    """Returns the runs in a folder, which are made if they are not there."""
    spec, workspace = folder / "spec.yaml", folder / "ws"
    if not workspace.is_dir():
        spec.write_text(SPEC)
        for seed in ("1", "2"):
            run = ["run", str(spec), "--set", f"seed={seed}", "--workspace", str(workspace)]
            code, _, err = run_halo([*run, "--json"])
            assert code == 0, err
    runs = sorted(path.name for path in (workspace / "runs").iterdir() if path.is_dir())
    record = json.loads((workspace / "runs" / runs[0] / "run.json").read_text())
    answers = next(stage["folder"] for stage in record["stages"] if stage["id"] == "answers")
    return Prepared(spec, workspace, runs, answers)


def main() -> None:
    """Tries every command in every place, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    logging.disable()  # The copies of workspaces say that their paths were corrected.
    parser.add_argument("--only", default="", help="only commands whose name begins so")
    parser.add_argument("--place", choices=FAULTS, help="only this place")
    parser.add_argument("--runs", type=Path, help="a folder for the runs, which are made once")
    chosen = parser.parse_args()
    runs, faults = prepared(chosen.runs or Path(tempfile.mkdtemp())), 0
    print("| place | command | exit code | message | fault |\n|---|---|---|---|---|")
    for kind in [chosen.place] if chosen.place else FAULTS:
        for command in COMMANDS:
            if not command.name.startswith(chosen.only):
                continue
            tried, wrong = runs.tried(command, kind)
            faults += wrong is not None
            said = " ".join(tried.message().replace("|", "/").split())[:LONGEST_MESSAGE]
            print(
                f"| {kind} | {command.name} | {tried.code} | {said} | {wrong or ''} |", flush=True
            )
    print(f"\n{faults} faults")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
