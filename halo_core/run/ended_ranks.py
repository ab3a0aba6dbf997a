"""Tells which of several workers failed: its rank, its machine, the signal that ended it, the line.

A worker writes its own error. A worker that a signal ended cannot; its launcher writes the error
then. If the signal comes from the worker itself, as in a crash of a library, Python has noted the
line before it ended.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.process_end import signal_name
from halo_core.workspace.records import ERROR, ErrorRecord, WorkerRecord

_PLACE = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in ', re.MULTILINE)
CONTINUE = "Run the same command again to continue from the last checkpoint"


def this_worker(error: BaseException) -> WorkerRecord | None:
    """Returns the record of this process and of an error in it; None if it works alone."""
    processes = processes_here()
    if processes == 1:
        return None
    return WorkerRecord(
        rank=rank_here(),
        processes=processes,
        host=socket.gethostname(),
        process=os.getpid(),
        signal=None,
        place=place_of(error),
    )


def rank_here() -> int:
    """Returns the rank of this process, 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def processes_here() -> int:
    """Returns the number of processes of the stage, 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def place_of(error: BaseException) -> str | None:
    """Returns file and line of the innermost code that is not of an installed library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    frame = next(reversed(own or frames), None)
    return None if frame is None else f"{frame.filename}:{frame.lineno}"


def write_death(folder: Path, *, rank: int, processes: int, process: int, number: int) -> None:
    """Writes the error of a worker that a signal has ended. Its launcher calls it.

    It takes the place of the errors of other workers, which lost their connection to this one.

    Args:
        folder: The stage's folder.
        rank: Rank of the worker.
        processes: Number of workers.
        process: Id of its process.
        number: The signal.
    """
    worker = WorkerRecord(
        rank=rank,
        processes=processes,
        host=socket.gethostname(),
        process=process,
        signal=number,
        place=_crash_place(folder, rank),
    )
    ERROR.write(
        folder,
        ErrorRecord(
            type="WorkerError", message=told_death(worker), location=str(folder), worker=worker
        ),
    )


def told_death(worker: WorkerRecord) -> str:
    """Returns a sentence about a worker that a signal ended, and what to do."""
    number = worker["signal"]
    assert number is not None
    at = f" at {worker['place']}" if worker["place"] else ""
    why = "; it was killed, possibly because memory ran out" if number == signal.SIGKILL else ""
    return f"{named(worker)} was ended by {signal_name(number)}{at}{why}. {CONTINUE}"


def named(worker: WorkerRecord) -> str:
    """Returns the name of a worker for people: its rank, its process and its machine."""
    return (
        f"rank {worker['rank']} of {worker['processes']} (process {worker['process']} on "
        f"{worker['host']})"
    )


@contextmanager
def crashes_noted(folder: Path) -> Iterator[None]:
    """Lets Python note the line of this worker if a crash ends it, when it is one of several."""
    if processes_here() == 1:
        yield
        return
    path = _crash_file(folder, rank_here())
    with path.open("w") as file:
        faulthandler.enable(file, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()
            path.unlink(missing_ok=True)


def _crash_file(folder: Path, rank: int) -> Path:
    return folder / f".crash-{rank:05d}"


def _crash_place(folder: Path, rank: int) -> str | None:
    """Returns file and line that a crashed worker noted; None if it noted nothing."""
    path = _crash_file(folder, rank)
    try:
        noted = path.read_text(errors="replace")
    except OSError:
        return None
    path.unlink(missing_ok=True)
    found = list(_PLACE.finditer(noted))
    own = [match for match in found if "site-packages" not in match["file"]]
    first = next(iter(own or found), None)  # The innermost call is the first.
    return None if first is None else f"{first['file']}:{first['line']}"
