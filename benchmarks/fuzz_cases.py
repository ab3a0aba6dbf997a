"""Runs hostile cases through a command of halo and judges how each one ends; for the `fuzz_` files.

A case may end with exit code 0, or with 2 and mistakes that each have a place and one clear
message. Everything else is a fault: another exit code, a traceback, an internal error, text on
stderr next to the JSON object, a message without a place or too long to read, and more than
`CPU_S` seconds of CPU time. Some cases must not pass: a reader that accepts them drops something.

The cases run in one process. Timers end a case that takes much longer, the last of them even if no
Python code runs; then the process ends, and another one continues with the next case.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from halo_core.cli import call
from halo_core.stop_flag import BySignal

CPU_S = 2.0
ENDED_S = 60.0
"""Wall time after which a case ends its worker process."""
MEMORY_BYTES = 6 * 2**30
LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        kind: The name of what was done to the input.
        arguments: The arguments of `halo`.
        must_fail: Whether exit code 0 is a fault too.
    """

    kind: str
    arguments: Sequence[str]
    must_fail: bool = False


@dataclass(frozen=True)
class End:
    """How a case ended.

    Attributes:
        number: The number of the case, from which it can be made again.
        kind: The kind of the case.
        code: The exit code; -1 if the process ended.
        fault: The fault; "" if there is none.
        seconds: CPU time.
    """

    number: int
    kind: str
    code: int
    fault: str = ""
    seconds: float = 0.0


MakeCase = Callable[[int, int, Path], Case]
"""Makes the case of a seed and a number in a folder, and writes its files there."""


class TooLong(BySignal):
    """Ends a case that takes much longer than `CPU_S`."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong


def run_case(number: int, case: Case) -> End:
    """Runs a case in this process."""
    out, err = _utf8(), _utf8()
    before = signal.signal(signal.SIGPROF, _too_long)
    started = _cpu_s()
    # The system counts the CPU time of timers and limits in ticks. On a busy machine, that was half
    # of the time that was used, so it can only end a case; the time itself is measured below.
    signal.setitimer(signal.ITIMER_PROF, 2 * CPU_S)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = call([*case.arguments, "--json"])
        fault = ""
    except BaseException as error:
        code, fault = 1, f"{type(error).__name__} reached the top: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    seconds = _cpu_s() - started
    if seconds > CPU_S:
        fault = f"took more than {CPU_S} s of CPU time"
    fault = fault or fault_of(code, _text(out), _text(err), case.must_fail)
    return End(number, case.kind, code, fault, seconds)


def fault_of(code: int, out: str, err: str, must_fail: bool) -> str:
    """Returns what is wrong with the end of ``halo ... --json``; "" if nothing is."""
    if err.strip():
        return f"stderr is not empty: {err.strip().splitlines()[-1][:200]}"
    try:
        printed = json.loads(out)
    except ValueError:
        return f"stdout is not one JSON object: {out[:200]!r}"
    if code == 0:
        return "passed in silence" if must_fail else ""
    mistakes = printed.get("errors") or []
    first = mistakes[0]["message"] if mistakes else printed.get("error")
    if code != 2:
        return f"exit code {code}: {str(first)[:300]}"
    if not mistakes:
        return "exit code 2 without a mistake"
    for mistake in mistakes:
        if not mistake["location"]:
            return f"a mistake without a place: {mistake['message'][:200]}"
        if not mistake["message"].strip():
            return f"a mistake without a message at {mistake['location'][:200]}"
        length = len(mistake["message"]) + len(mistake["location"])
        if length > LONGEST_MESSAGE:
            return f"a message of {length} characters: {mistake['message'][:120]}"
    return ""


def run_all(make: MakeCase, file: str, numbers: range, seed: int) -> list[End]:
    """Runs all cases in processes of this file's own program, as few as possible.

    Args:
        make: Makes a case.
        file: The program, which `main` was called from.
        numbers: The numbers of the cases.
        seed: The seed of all cases.
    """
    ends: list[End] = []
    at = numbers.start
    while at < numbers.stop:
        command = [sys.executable, file, "--from", str(at), "--to", str(numbers.stop)]
        done = subprocess.run(
            [*command, "--seed", str(seed), "--worker"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        found = [End(**json.loads(line)) for line in done.stdout.splitlines()]
        ends += found
        at += len(found)
        if at < numbers.stop:
            with TemporaryDirectory() as folder:
                kind = make(seed, at, Path(folder)).kind
            ends.append(End(at, kind, -1, f"the process ended with {done.returncode}"))
            at += 1
    return ends


def work(make: MakeCase, numbers: range, seed: int) -> None:
    """Runs cases in this process, and prints one line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    written = os.fdopen(os.dup(1), "w")
    with TemporaryDirectory() as folder:
        for number in numbers:
            signal.setitimer(signal.ITIMER_REAL, ENDED_S)  # Without a handler, it ends the process.
            end = run_case(number, make(seed, number, Path(folder)))
            written.write(json.dumps(asdict(end)) + "\n")
            written.flush()


def table(ends: Sequence[End]) -> str:
    """Returns the counts by kind as a table in Markdown."""
    counts: dict[str, Counter[str]] = {}
    for end in ends:
        code = str(end.code) if end.code in (0, 2) else "other"
        counts.setdefault(end.kind, Counter()).update([code, *(["fault"] if end.fault else [])])
    rows = ["| kind | cases | exit 0 | exit 2 | faults |", "|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for kind, count in sorted(counts.items()):
        rows.append(_row(kind, count))
        total += count
    return "\n".join([*rows, _row("all", total)])


def _row(kind: str, count: Counter[str]) -> str:
    cases = count["0"] + count["2"] + count["other"]
    return f"| {kind} | {cases} | {count['0']} | {count['2']} | {count['fault']} |"


def main(make: MakeCase, file: str, *, cases: int, command: Callable[[int, int], list[End]]) -> int:
    """Runs the command line of a `fuzz_` file and returns the exit code, 1 after a fault.

    Args:
        make: Makes a case.
        file: The program itself.
        cases: The standard number of cases.
        command: Runs this number of cases, with this seed, through the real command.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=cases)
    parser.add_argument("--real", type=int, default=0, help="cases through the real command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this one case in a folder, and show it")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--from", dest="first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(make, range(given.first, given.to), given.seed)
        return 0
    if given.only is not None:
        with TemporaryDirectory() as folder:
            case = make(given.seed, given.only, Path(folder))
            print(case)
            return call([*case.arguments, "--debug"])
    ends = run_all(make, file, range(given.cases), given.seed) + command(given.real, given.seed)
    for end in ends:
        if end.fault:
            print(f"case {end.number}, {end.kind}: {end.fault}")
    print(table(ends))
    print(f"longest: {max(end.seconds for end in ends):.2f} s of CPU time")
    return int(any(end.fault for end in ends))


def through_command(make: MakeCase, cases: int, seed: int) -> list[End]:
    """Runs cases through the real command, each in a process of its own."""
    ends = []
    for number in range(cases):
        with TemporaryDirectory() as folder:
            case = make(seed, number, Path(folder))
            done = subprocess.run(
                [sys.executable, "-m", "halo_core.cli", *case.arguments, "--json"],
                capture_output=True,
                encoding="utf-8",
                timeout=60,
                check=False,
            )
        fault = fault_of(done.returncode, done.stdout, done.stderr, case.must_fail)
        ends.append(End(number, "through the command", done.returncode, fault))
    return ends


def _utf8() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
