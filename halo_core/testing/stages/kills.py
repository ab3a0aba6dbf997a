"""Kills a stage in the middle of its work, runs it again, and compares the results.

A killed process can stop at any instruction. The instants that matter are those around a file:
it was opened and is still empty, or it was renamed and the next one does not exist. So each run is
a fork of this process that counts the files that it opens for writing and renames, and kills
itself after one of them. One more run is killed after half of its time, and one begins with the
folder that a kill in the middle of a line leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from halo_core.errors import HaloError, UserError, error_text
from halo_core.events import EventLog
from halo_core.guarded.stage_calls import check_product, checked_result
from halo_core.parent_death import die_with
from halo_core.stage import Stage, StageContext
from halo_core.testing.component import expect
from halo_core.testing.stages.half_written import Step, cut_journal, half_written, journal_of
from halo_core.testing.stages.idle_processes import IDLE_S, ends
from halo_core.testing.stages.products import check_content, hashes_of, results_in
from halo_core.workspace.records import EVENTS

POINTS = 4
"""Number of instants at which a run is killed, besides the one at half of its time."""
QUICK_S = 2.0
"""Seconds of a run up to which it is also killed in the middle of a file that it continues."""

TRIES = 6
"""Number of earlier and earlier kills of which one has to come before the end of the run."""

Result = Mapping[str, Any]
Kill = Callable[[Path], None]


class NothingProvedError(AssertionError):
    """Each run ended before it was killed."""


def check_killed(
    stage: Stage, context: StageContext, *, points: int = POINTS, seconds: float | None = None
) -> Sequence[str]:
    """Checks that a stage that was killed continues, and has the results of one that was not.

    The runs are in folders and processes of their own. If two uninterrupted runs differ, this
    difference is allowed after a kill, too. If a run ends before its kill, another run is killed
    earlier.

    Call it before anything computes gradients on a GPU in this process, because such a process
    cannot fork.

    Args:
        stage: A stage with compatible options whose work takes seconds.
        context: Its inputs. Its folder is not used.
        points: Number of instants around a file at which a run is killed, at least 1.
        seconds: If it is given, approximate time for all runs, which may reduce `points` to 1 and
            leave out the kills in the middle of a line or of a file that a run continues.

    Returns:
        The instants, in words, before which all runs ended, so that they proved nothing.

    Raises:
        AssertionError: When a run raises, or the run after a kill does not end with the output of
            an uninterrupted run, or with its metrics; or when no run could be killed.
        UserError: When the stage raises one, because the inputs do not suit it.
        NotImplementedError: When the system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise NotImplementedError("processes cannot be forked on this system")
    with TemporaryDirectory() as folder:
        begun = time.monotonic()
        first, second = (_whole(stage, context, Path(folder) / name) for name in ("a", "b"))
        took = (time.monotonic() - begun) / 2
        if seconds is not None:
            points = max(1, min(points, int(seconds / took / 2) - 2))
        same = {name: value for name, value in first.items() if second.get(name) == value}
        half = Path(folder) / "half"
        # Both are rare mistakes, so a slow stage gets only the kills around a file.
        has_time = seconds is None or time.monotonic() - begun < seconds / 2
        if has_time and (cut := half_written(stage, Path(folder) / "b", half, second["steps"])):
            _check_after(stage, context, half, same, f"in the middle of a line of {cut}")
        if has_time:
            _check_journal(stage, context, Path(folder) / "journal", same, second["steps"], took)
        late: list[str] = []
        instants = list(_instants(first["files"], points, took))
        for number, tries in enumerate(instants):
            place = Path(folder) / f"killed-{number}"
            where = _killed(stage, context, place, tries)
            if where:
                _check_after(stage, context, place, same, where)
            else:
                late.append(tries[0][0])
    if len(late) == len(instants):
        raise NothingProvedError(
            f"{stage!r}: no run was killed, because each ended before ({'; '.join(late)}). So "
            "nothing is known about a kill; give the stage more rows, or more work"
        )
    return late


def _check_after(
    stage: Stage, context: StageContext, place: Path, same: Result, where: str
) -> None:
    """Checks that a run in the folder of a killed one has the results of one that was not."""
    after = _whole(stage, context, place, f"after it was killed {where}")
    for name, value in same.items():
        expect(
            name in ("files", "steps") or after.get(name) == value,
            stage,
            f"run() after it was killed {where}: {name} is {after.get(name)!r}; expected "
            f"{value!r}, as of a run that was not killed",
        )


def _check_journal(
    stage: Stage,
    context: StageContext,
    place: Path,
    same: Result,
    steps: Sequence[Step],
    took: float,
) -> None:
    """Checks a run after a kill in the middle of a line of a file that is not its output."""
    name, number = journal_of(steps)
    if not name or took > QUICK_S:
        return
    opened = steps[number - 1][1]
    if _killed(stage, context, place, [(name, partial(_die_after, number=number))]):
        if cut_journal(place, name, opened):
            where = f"in the middle of a line of {name}"
            try:
                _check_after(stage, context, place, same, where)
            except UserError as error:  # It has taken these inputs before.
                told = f"run() after it was killed {where} asks the user for help: {error}"
                expect(False, stage, f"{told}; expected it to cut off the line, and to continue")


def _killed(
    stage: Stage, context: StageContext, place: Path, tries: Sequence[tuple[str, Kill]]
) -> str:
    """Kills a run in a new folder at the first instant that is not too late.

    Returns:
        Words for the instant; empty if all runs ended before.
    """
    for where, kill in tries:
        shutil.rmtree(place, ignore_errors=True)  # A run that has ended has nothing left to do.
        if not _run(stage, context, place, kill):
            return where
    return ""


def _instants(files: int, points: int, took: float) -> Iterator[Sequence[tuple[str, Kill]]]:
    """Yields instants of a kill, each with earlier ones in case that it is too late."""
    count = min(points, files)
    chosen = {1 + (files - 1) * n // max(1, count - 1) for n in range(count)}
    for number in sorted(chosen):
        earlier = dict.fromkeys(max(1, number >> n) for n in range(TRIES))
        yield [
            (
                f"right after it opened or renamed file {each} of {files}",
                partial(_die_after, number=each),
            )
            for each in earlier
        ]
    times = [took / 2**n for n in range(1, TRIES + 1)]
    yield [(f"after {time:.2g} s", partial(_die_at, seconds=time)) for time in times]


def _whole(
    stage: Stage, context: StageContext, folder: Path, when: str = "in an empty folder"
) -> Result:
    """Returns the metrics of a run to its end, the hashes of its output and its count of files."""
    result = _run(stage, context, folder, lambda _: None)
    if "mistake" in result:
        raise UserError(result["mistake"])
    ended = result.get("error", "its process ended without a result")
    expect("metrics" in result, stage, f"run() {when}: {ended}")
    try:
        check_product(stage, folder)
        check_content(stage, folder)
    except (HaloError, AssertionError) as error:
        expect(False, stage, f"run() {when}: {error}")
    return {
        **{f"the metric {name!r}": value for name, value in results_in(result["metrics"]).items()},
        **{f"the hash of {name}": value for name, value in hashes_of(stage, folder).items()},
        "files": result["files"],
        "steps": result["steps"],
    }


def _run(stage: Stage, context: StageContext, folder: Path, kill: Callable[[Path], None]) -> Result:
    """Runs a stage in a fork, and returns what it told; nothing if it was killed."""
    folder.mkdir(exist_ok=True)
    told = folder.with_name(f"{folder.name}.json")
    told.unlink(missing_ok=True)
    parent, child = os.getpid(), os.fork()
    if not child:
        die_with(parent)
        _in_child(stage, context, folder, told, kill)
    ended = False
    try:
        ended = ends(child)
    finally:
        if not ended:  # It stands still, or a time limit ended the wait.
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    expect(
        ended,
        stage,
        f"run() in a new process does nothing for {IDLE_S:g} s and does not end. Does it keep a "
        "pool, a thread or a lock in a module or a class? Another process does not have it",
    )
    return json.loads(told.read_text("utf-8")) if told.exists() else {}


def _in_child(
    stage: Stage,
    context: StageContext,
    folder: Path,
    told: Path,
    kill: Callable[[Path], None],
) -> None:
    result: dict[str, Any] = {}
    steps: list[Step] = []
    try:
        if "torch" in sys.modules:  # Threads do not survive a fork.
            sys.modules["torch"].set_num_threads(1)
        own = replace(
            context,
            folder=folder,
            cache=folder / "cache",
            events=EventLog(folder / EVENTS.name),
        )
        _on_files(folder, steps.append)
        kill(folder)
        ended = checked_result(stage, stage.run(own))
        result = {"metrics": dict(ended.metrics)}
    except UserError as error:
        result = {"mistake": str(error)}
    except BaseException as error:
        result = {"error": error.message if isinstance(error, HaloError) else error_text(error)}
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.setprofile(None)
            files = {"files": len(steps), "steps": [*steps]}
            told.write_text(json.dumps({**result, **files}), "utf-8")
        finally:
            os._exit(0)  # The caller must never continue in two processes.


def _die_after(folder: Path, number: int) -> None:
    """Kills this process as soon as it has opened or renamed some number of files."""
    left = [number]

    def one_less(_: Step) -> None:
        left[0] -= 1
        if not left[0]:
            sys.setprofile(die)

    def die(frame: FrameType, event: str, _: object) -> None:
        # Not within the functions that watch, which run before the file is opened.
        if frame.f_globals.get("__name__") != __name__:
            os.kill(os.getpid(), signal.SIGKILL)

    _on_files(folder, one_less)


def _die_at(_: Path, seconds: float) -> None:
    """Kills this process after some seconds, also within a call of a library."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-4))


def _on_files(folder: Path, call: Callable[[Step], None]) -> None:
    """Calls a function just before a file below a folder is opened for writing or renamed."""
    start = str(folder.resolve()) + os.sep

    def inside(path: object) -> str:
        """Returns the name of a path in the folder; "" if it is outside."""
        name = os.path.abspath(os.fsdecode(path) if isinstance(path, str | bytes) else "")
        return name.removeprefix(start) if name.startswith(start) else ""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR) and (name := inside(arguments[0])):
                call(("open", name))
        elif event == "os.rename" and (name := inside(arguments[1])):
            call(("rename", inside(arguments[0]), name))

    sys.addaudithook(hook)


__all__ = ["check_killed"]
