"""Kills runs outright (SIGKILL), gives the same command again, and compares the results.

    python benchmarks/kill.py [--kills 50] [--changes all] [--two 10] [--seed 0] [--out FILE]

The run (`crash_runs.py`) takes two seconds. It is killed:

* before each change of a file that Python sees. With `--changes N`, the seed chooses N of them.
  With `--changes kinds`, it chooses one of each kind. Changes of one kind differ only in numbers
  and hashes;
* at random moments, up to three times in a row;
* with two processes for the first training: the controller, the launcher or a rank at a random
  moment, and rank 0 before some of its changes.

Then the same command must complete the run. Its weights, samples, labels, verdicts and metrics must
be identical to those of an undisturbed run. No process may be left. `halo verify --all` must find
nothing. The endpoint of the judge must have charged once for each request. Otherwise, the exit code
is 1. The long form takes about half an hour.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from crash_points import killed_at, logged
from crash_runs import (
    HERE,
    Ended,
    children,
    differences,
    endpoint,
    halo,
    results,
    start,
    wait,
    write_spec,
)

from halo_judge.testing import ChatServer

RUN = ["run", "spec.yaml", "--workspace", "w", "--set", "reports=[]"]
TIMES_IN_A_ROW = 3
"""Most kills at random moments before the run may end."""
END_S = 5.0
"""Time in which the processes of a killed run must have ended."""


@dataclass
class Tally:
    """The results of the trials of one kind.

    Attributes:
        kind: Description of the kills.
        trials: Number of trials.
        kills: Number of kills. A run that had ended before is not counted.
        wrong: Descriptions of faults, with the place.
        asked_again: Number of requests that the endpoint got again and did not charge for.
        litter: Number of temporary files that remained after the run.
    """

    kind: str
    trials: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)
    asked_again: int = 0
    litter: int = 0


class Trial:
    """A run in a folder of its own, with an endpoint of its own.

    Attributes:
        folder: The folder. It contains the spec and the workspace ``w``.
        server: The endpoint.
    """

    def __init__(self, folder: Path, server: ChatServer, processes: int) -> None:
        self.folder = folder
        self.server = server
        write_spec(folder, server.base_url, processes=processes)

    def run(self, begin: Callable[[], None] | None = None) -> Ended:
        """Runs the same command, to its end or until it is killed."""
        return halo(RUN, self.folder, begin)

    def wrong(self, reference: Mapping[str, str]) -> str | None:
        """Ends the run with the same command, and returns what is wrong then; None if nothing."""
        ended = self.run()
        if ended.code != 0:
            return f"the same command ended with {ended.code}: {_last(ended)}"
        if other := differences(self.folder / "w", reference):
            return f"other results: {', '.join(other[:3])}"
        verified = halo(["verify", "--all", "--workspace", "w"], self.folder)
        if verified.code != 0:
            return f"halo verify: {_last(verified)}"
        if twice := [name for name, times in self.server.paid.items() if times > 1]:
            return f"{len(twice)} replies were paid for twice"
        return None

    def litter(self) -> int:
        """Returns the number of temporary files and folders that nobody will remove."""
        names = [path.name for path in (self.folder / "w").rglob("*")]
        return sum(name.endswith((".partial", ".part", ".new")) for name in names) + sum(
            name.startswith(".") and name.rpartition(".")[2].isdigit() for name in names
        )


@contextmanager
def trial(processes: int = 1) -> Iterator[Trial]:
    """Makes a trial, in memory if the machine offers that."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="kill-", dir=memory if memory.is_dir() else None))
    try:
        with endpoint() as server:
            yield Trial(folder, server, processes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undisturbed(processes: int = 1) -> tuple[dict[str, str], list[str], float]:
    """Returns the results of an undisturbed run, its changes in their order, and its seconds."""
    with trial(processes) as first:
        first.run()  # The server of forks starts here, which takes its time.
        found = results(first.folder / "w")
    with trial(processes) as second:
        log = second.folder / "changes.txt"
        ended = second.run(logged(second.folder / "w", log))
        assert ended.code == 0, ended.said
        if other := differences(second.folder / "w", found):
            raise SystemExit(f"two undisturbed runs differ: {other}")
        return found, log.read_text(encoding="utf-8").splitlines(), ended.seconds


def chosen(changes: Sequence[str], wanted: str, rng: random.Random) -> list[int]:
    """Returns the numbers of changes, from 1: all, one of each kind, or as many as wanted."""
    numbers = range(1, len(changes) + 1)
    if wanted == "kinds":
        kinds: dict[str, list[int]] = {}
        for number, change in zip(numbers, changes, strict=True):
            kinds.setdefault(change, []).append(number)
        return sorted(rng.choice(those) for those in kinds.values())
    return [*numbers] if wanted == "all" else sorted(rng.sample(numbers, int(wanted)))


def before_changes(reference: Mapping[str, str], numbers: Sequence[int]) -> Tally:
    """Kills a run before each of some changes."""
    tally = Tally("before a change of a file")
    for number in numbers:
        with trial() as one:
            ended = one.run(killed_at(one.folder / "w", number))
            tally.trials += 1
            tally.kills += ended.code == -9
            _judge(tally, one, reference, f"change {number}")
    return tally


def at_random(
    reference: Mapping[str, str], kills: int, seconds: float, rng: random.Random
) -> Tally:
    """Kills runs at random moments, until there were `kills` kills."""
    tally = Tally("at random moments")
    while tally.kills < kills:
        with trial() as one:
            tally.trials += 1
            moments = [rng.uniform(0, seconds) for _ in range(rng.randint(1, TIMES_IN_A_ROW))]
            for moment in moments:
                process = start(RUN, one.folder)
                process.join(moment)
                tally.kills += process.exitcode is None
                process.kill()
                wait(process, one.folder)
            _judge(
                tally, one, reference, f"killed after {', '.join(f'{m:.2f} s' for m in moments)}"
            )
    return tally


def with_two(reference: Mapping[str, str], kills: int, seconds: float, rng: random.Random) -> Tally:
    """Kills the controller, the launcher or a rank of runs with two processes."""
    tally = Tally("two processes, at random moments")
    while tally.kills < kills:
        with trial(processes=2) as one:
            tally.trials += 1
            process = start(RUN, one.folder)
            process.join(rng.uniform(0, seconds))
            there = [psutil.Process(process.pid), *children(process)] if process.is_alive() else []
            if there:
                victim = rng.choice(there)
                what = "controller" if victim.pid == process.pid else " ".join(_words(victim)[-3:])
                _kill(victim)
                tally.kills += 1
                left = _still_there(there) if victim.pid == process.pid else []
                if left:
                    tally.wrong.append(f"{len(left)} processes outlived the {what}")
                wait(process, one.folder)
                if left := _still_there(there):
                    tally.wrong.append(f"{len(left)} processes outlived the run")
            _judge(tally, one, reference, f"killed {what if there else 'nothing'}")
    return tally


def rank_before_changes(reference: Mapping[str, str], numbers: Sequence[int]) -> Tally:
    """Kills rank 0 of runs with two processes before some of its changes."""
    tally = Tally("two processes, rank 0 before a change")
    for number in numbers:
        with trial(processes=2) as one:
            tally.trials += 1
            ended = one.run(_rank_killed_at(one.folder / "w", number))
            tally.kills += ended.code != 0
            if fault := ended.fault():
                tally.wrong.append(f"change {number} of rank 0: {fault}")
            _judge(tally, one, reference, f"change {number} of rank 0")
    return tally


@dataclass(frozen=True)
class _rank_killed_at:
    """Lets the workers of a run load `crash_site`, which kills rank 0 before its n-th change."""

    folder: Path
    number: int

    def __call__(self) -> None:
        path = [f"{HERE}/crash_site", HERE, os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
        os.environ |= {
            "CRASH_RANK": "0",
            "CRASH_FOLDER": str(self.folder),
            "CRASH_AT": str(self.number),
        }


def _judge(tally: Tally, one: Trial, reference: Mapping[str, str], where: str) -> None:
    if wrong := one.wrong(reference):
        tally.wrong.append(f"{where}: {wrong}")
        print(f"WRONG {where}: {wrong}", flush=True)
    tally.asked_again += len(one.server.requests) - len(one.server.paid)
    tally.litter += one.litter()
    print(table([tally]).splitlines()[-1], file=sys.stderr, flush=True)


def _kill(victim: psutil.Process) -> None:
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return


def _still_there(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    end = time.monotonic() + END_S
    while time.monotonic() < end and any(map(_runs, processes)):
        time.sleep(0.05)
    return [process for process in processes if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["a process that had ended"]


def _last(ended: Ended) -> str:
    lines = ended.said.strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def table(tallies: Sequence[Tally]) -> str:
    """Returns the results as a table in Markdown."""
    lines = [
        "| killed | runs | kills | wrong | requests that were sent again | temporary files left |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.kind} | {t.trials} | {t.kills} | {len(t.wrong)} | {t.asked_again} | {t.litter} |"
        for t in tallies
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments")
    parser.add_argument("--changes", default="all", help="number of changes, kinds or all")
    parser.add_argument("--two", type=int, default=10, help="kills with two processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    reference, changes, seconds = undisturbed()
    print(f"a run takes {seconds:.1f} s and changes files {len(changes)} times", flush=True)
    numbers = chosen(changes, options.changes, rng)
    tallies = [
        before_changes(reference, numbers),
        at_random(reference, options.kills, seconds, rng),
    ]
    if options.two:
        both, _, longer = undisturbed(processes=2)
        tallies.append(with_two(both, options.two, longer, rng))
        tallies.append(rank_before_changes(both, sorted(rng.sample(range(1, 41), options.two))))
    print(table(tallies))
    for tally in tallies:
        for wrong in tally.wrong:
            print(f"{tally.kind}: {wrong}")
    if options.out is not None:
        options.out.write_text(table(tallies) + "\n", encoding="utf-8")
    return int(any(tally.wrong for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
