"""Damages every kind of file of a workspace, and checks what halo does with it.

    python benchmarks/damage.py [--cases all] [--seed 0] [--worlds finished,...] [--out FILE]

It makes workspaces with `crash_runs.py`: of a finished run, of runs that were killed while they
trained, sampled, labelled and judged, of a suite, and of a run with MLflow. From each it takes one
file of each kind, and does five things to it: it cuts it, empties it, fills it with zeros, removes
it, and changes one bit. Then `halo verify --all`, `halo report` (`halo compare` for a suite, `halo
sync` with MLflow) and the same `halo run` are called. Allowed ends are:

* **again**: what was damaged was made again, with a warning, and the results are the same;
* **same**: the results are the same without a warning, because the file is not needed;
* **error**: an error names the file or its folder; and once it is removed, as the message says, the
  same command gives the same results, or again an error that names what is missing.

Faults are a traceback, an internal error, a signal, a command that does not end, an error that
names nothing, and other results. If there are any, the exit code is 1. All cases take about half an
hour.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crash_points import killed_at, kind_of, logged
from crash_runs import Ended, differences, endpoint, halo, results, write_spec

RUN = ["run", "spec.yaml", "--workspace", "w"]
NO_PAGE = ["--set", "reports=[]"]
READ_BY_PAGES = re.compile(r"^w/(runs|suites)/|^w/stages/[^/]*/[^/]*$")
"""Kinds of files that reports and comparisons read. They are left out after other damages."""
SUITE = """\
matrix:
  length: {short: {}, long: {stages.answers.max_new_tokens: 8}}
"""
WARNED = re.compile(r"warning|anew|again|set aside|damaged", re.IGNORECASE)
CHANGING = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+|\d+(\.\d+)? s\b|[\d.]+ tok/s")
"""Parts of a report that differ between two reports of the same run."""
LEFT_ALONE = re.compile(r"\.lock$|said\.txt$|mlflow-server\.log$")
"""Files without content that halo reads."""


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))] if content else content


def emptied(content: bytes, rng: random.Random) -> bytes:
    return b""


def zeros(content: bytes, rng: random.Random) -> bytes:
    return bytes(len(content))


def gone(content: bytes, rng: random.Random) -> None:
    return None


def one_bit(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


Damage = Callable[[bytes, random.Random], bytes | None]
DAMAGES: list[Damage] = [cut, emptied, zeros, gone, one_bit]


@dataclass(frozen=True)
class World:
    """A workspace that is copied for each case.

    Attributes:
        name: Its name in the table.
        folder: The folder with `spec.yaml` and the workspace ``w``.
        files: A file of each kind, by kind, relative to the folder.
        looks: The commands that only look at the workspace.
        run: The command that makes everything.
        results: The results of the undisturbed run.
        page: The report of the undamaged workspace; None if it is not finished.
    """

    name: str
    folder: Path
    files: Mapping[str, str]
    looks: Sequence[Sequence[str]]
    run: Sequence[str]
    results: Mapping[str, str]
    page: str | None = None


@dataclass
class Case:
    """The result for a damaged file.

    Attributes:
        world: Name of the world.
        kind: Kind of the file.
        damage: Name of the damage.
        end: ``again``, ``same``, ``error`` or ``FAULT``.
        found: Whether `halo verify --all` named the file.
        faults: Descriptions of faults.
    """

    world: str
    kind: str
    damage: str
    end: str = ""
    found: bool = False
    faults: list[str] = field(default_factory=list)


def worlds(folder: Path, url: str, names: Sequence[str]) -> Iterator[World]:
    """Makes the worlds whose names are wanted."""
    whole = folder / "finished"
    write_spec(whole, url)
    log = folder / "changes.txt"
    _must(halo(RUN, whole, logged(whole / "w", log)))
    _must(halo(RUN, whole))
    found = results(whole / "w")
    changes = log.read_text(encoding="utf-8").splitlines()
    report = ["report", "toy", "--workspace", "w"]
    seen = set(_kinds(whole))
    if "finished" in names:
        page = _page(whole, halo(report, whole))
        shutil.rmtree(whole / "w" / "reports", ignore_errors=True)
        yield World("finished", whole, _kinds(whole), [report], RUN, found, page)
    for name, number in stopping_places(changes).items():
        if name in names:
            killed = folder / name
            write_spec(killed, url)
            ended = halo(RUN, killed, killed_at(killed / "w", number))
            assert ended.code == -9, ended.said
            kinds = {kind: file for kind, file in _kinds(killed).items() if kind not in seen}
            kinds |= {
                kind: file for kind, file in _kinds(killed).items() if _unfinished(killed, file)
            }
            seen |= set(kinds)
            yield World(name, killed, kinds, [report], RUN, found)
    if "suite" in names:
        suite = folder / "suite"
        write_spec(suite, url)
        spec = suite / "spec.yaml"
        spec.write_text(spec.read_text(encoding="utf-8") + SUITE, encoding="utf-8")
        _must(halo(RUN, suite))
        looks = [["compare", "toy", "--workspace", "w"], ["report", "toy", "--workspace", "w"]]
        kinds = {k: f for k, f in _kinds(suite).items() if k.startswith("w/suites")}
        kinds |= {k: f for k, f in _kinds(suite).items() if re.search(r"runs/.*(json|yaml)", k)}
        yield World("suite", suite, kinds, looks, RUN, results(suite / "w"))
    if "mlflow" in names:
        tracked = folder / "mlflow"
        write_spec(tracked, url, tracking=["mlflow"])
        _must(halo(RUN, tracked))
        kinds = {k: f for k, f in _kinds(tracked).items() if re.search(r"mlflow|tracking|runs/", k)}
        kinds = {k: f for k, f in kinds.items() if "mlartifacts" not in k}
        looks = [["sync", "toy", "--workspace", "w"]]
        yield World("mlflow", tracked, kinds, looks, RUN, results(tracked / "w"))


def stopping_places(changes: Sequence[str]) -> dict[str, int]:
    """Returns the changes before which runs are killed, by what they were doing."""
    places = {
        "training": ("rename stages/train-#/checkpoints/step-#", 3),
        "sampling": ("open stages/sample-#/samples.partial.jsonl", 3),
        "labelling": ("open stages/label-#/scores.jsonl", 4),
        "judging": ("open stages/judge-#/verdicts.jsonl", 4),
    }
    return {
        name: [i for i, change in enumerate(changes, start=1) if change == wanted][count - 1]
        for name, (wanted, count) in places.items()
    }


def _unfinished(folder: Path, file: str) -> bool:
    path = folder / file
    stage = next((p for p in path.parents if p.parent.name == "stages"), None)
    return stage is not None and not (stage / "done.json").exists()


def _kinds(folder: Path) -> dict[str, str]:
    """Returns a file of each kind, by kind: all files that differ only in numbers and hashes."""
    found: dict[str, str] = {}
    for path in sorted((folder / "w").rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not LEFT_ALONE.search(name):
            found.setdefault(kind_of(name), name)
    return found


def _must(ended: Ended) -> None:
    if ended.code != 0:
        raise SystemExit(f"an undamaged workspace: {ended.code}\n{ended.said}")


def try_case(world: World, kind: str, damage: Damage, rng: random.Random) -> Case | None:
    """Damages a file in a copy of a world and calls the commands; None if nothing was changed."""
    case = Case(world.name, kind, damage.__name__)
    with _copy(world.folder) as folder:
        path = folder / world.files[kind]
        content = path.read_bytes()
        changed = damage(content, rng)
        if changed == content:
            return None
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        verified = halo(["verify", "--all", "--workspace", "w", "--json"], folder)
        _note(case, "verify", verified)
        case.found = path.name in verified.said
        looks = world.looks if READ_BY_PAGES.search(kind) else []
        for number, look in enumerate(looks):
            said = halo(look, folder)
            _note(case, look[0], said)
            if said.code and not _names(said, path):
                case.faults.append(f"{look[0]}: the error names nothing: {_last(said)}")
            if said.code == 0 and number == 0 and world.page is not None and not _warns(said, path):
                page = _page(folder, said) or ""
                if page != world.page and f"{path.name} is gone" not in page:
                    case.faults.append(f"{look[0]}: another page, silently")
        _run(case, world, folder, path)
    if case.faults:
        case.end = "FAULT"
    return case


def _run(case: Case, world: World, folder: Path, path: Path) -> None:
    command = [*world.run, *([] if READ_BY_PAGES.search(case.kind) else NO_PAGE)]
    ended = halo(command, folder)
    _note(case, "run", ended)
    case.end = "again" if _warns(ended, path) else "same"
    if ended.code == 0:
        _compare(case, world, folder)
        return
    case.end = "error"
    if not _names(ended, path):
        case.faults.append(f"run: the error names nothing: {_last(ended)}")
        return
    # What messages advise: remove the file, or the folder that it belongs to.
    for remains in (path, path.parent):
        if remains.is_dir():
            shutil.rmtree(remains)
        else:
            remains.unlink(missing_ok=True)
        mended = halo(command, folder)
        _note(case, "run after the file was removed", mended)
        if mended.code == 0:
            _compare(case, world, folder)
            return
    case.faults.append(f"run: the advice does not help: {_last(ended)}")


def _compare(case: Case, world: World, folder: Path) -> None:
    if other := differences(folder / "w", world.results):
        case.faults.append(f"run: other results: {', '.join(other[:3])}")


def _note(case: Case, command: str, ended: Ended) -> None:
    if fault := ended.fault():
        case.faults.append(f"{command}: {fault}: {_last(ended)}")


def _names(ended: Ended, path: Path) -> bool:
    """Returns whether an output names a file or its folder."""
    return path.name in ended.said or path.parent.name in ended.said


def _warns(ended: Ended, path: Path) -> bool:
    lines = ended.said.splitlines()
    return any(
        WARNED.search(line) for line in lines if path.name in line or path.parent.name in line
    )


def _page(folder: Path, ended: Ended) -> str | None:
    """Returns the page of a report, without what differs in two pages of the same run."""
    pages = sorted((folder / "w").glob("reports/*/report.html"))
    if not pages:
        return None
    return CHANGING.sub("", pages[0].read_text(encoding="utf-8", errors="replace"))


def _last(ended: Ended) -> str:
    lines = [line for line in ended.said.strip().splitlines() if line.strip(" }")]
    return lines[-1][:300] if lines else "it said nothing"


@contextmanager
def _copy(folder: Path) -> Iterator[Path]:
    # To the same place each time: stages and data name each other by their whole paths.
    kept = folder.with_name(f"{folder.name}.kept")
    folder.rename(kept)
    try:
        shutil.copytree(kept, folder)  # with the times of change
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)


def table(cases: Sequence[Case]) -> str:
    """Returns the number of ends of each kind of file as a table in Markdown."""
    lines = [
        "| workspace | file | again | same | error | fault | found by verify |",
        "|---|---|---|---|---|---|---|",
    ]
    for world, kind in sorted({(case.world, case.kind) for case in cases}):
        those = [case for case in cases if (case.world, case.kind) == (world, kind)]
        ends = Counter(case.end for case in those)
        counts = " | ".join(str(ends[end]) for end in ("again", "same", "error", "FAULT"))
        found = sum(case.found for case in those)
        lines.append(
            f"| {world} | `{kind.removeprefix('w/')}` | {counts} | {found} of {len(those)} |"
        )
    ends = Counter(case.end for case in cases)
    counts = " | ".join(str(ends[end]) for end in ("again", "same", "error", "FAULT"))
    found = sum(case.found for case in cases)
    lines.append(f"| all | | {counts} | {found} of {len(cases)} |")
    return "\n".join(lines)


WORLDS = ["finished", "training", "sampling", "labelling", "judging", "suite", "mlflow"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default="all", help="number of cases, or all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", default=",".join(WORLDS), help="workspaces, with commas")
    parser.add_argument("--kind", default="", help="only kinds of files that match this pattern")
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args(arguments)
    memory = Path("/dev/shm")
    cases: list[Case] = []
    parent = memory if memory.is_dir() else None
    with endpoint() as server, tempfile.TemporaryDirectory(prefix="damage-", dir=parent) as folder:
        made = list(worlds(Path(folder), server.base_url, options.worlds.split(",")))
        todo = [(w, kind, d) for w in made for kind in w.files for d in DAMAGES]
        todo = [item for item in todo if re.search(options.kind, item[1])]
        # In another order, so that the table of a benchmark that is stopped early has all worlds.
        random.Random(options.seed).shuffle(todo)
        if options.cases != "all":
            todo = todo[: int(options.cases)]
        for number, (world, kind, damage) in enumerate(todo, start=1):
            print(f"{number} of {len(todo)}: {world.name} {kind}", file=sys.stderr, flush=True)
            rng = random.Random(f"{options.seed} {world.name} {kind} {damage.__name__}")
            case = try_case(world, kind, damage, rng)
            if case is None:
                continue
            cases.append(case)
            if case.faults:
                print(f"FAULT {case.world} {case.kind} {case.damage}: {case.faults}", flush=True)
            if options.out is not None:
                options.out.write_text(table(cases) + "\n", encoding="utf-8")
    print(table(cases))
    return int(any(case.faults for case in cases))


if __name__ == "__main__":
    sys.exit(main())
