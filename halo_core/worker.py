"""The program of each rank of a stage: ``python -m halo_core.worker STAGE_FOLDER``.

The controller, or a job on a cluster, starts it through a launcher such as that of halo-trainer,
which sets ``RANK``. Rank 0 writes events and the result.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from halo_core.display.board import Board
from halo_core.display.relay import relay_of
from halo_core.display.surfaces import LineSurface
from halo_core.errors import BusyError, HaloError, exit_code_of
from halo_core.printing import say
from halo_core.run.ended_ranks import crashes_noted, processes_here
from halo_core.run.execute import execute, write_error
from halo_core.run.lifeline import end_with_controller
from halo_core.run.threads import patient_threads
from halo_core.stage import StopFlag
from halo_core.workspace.records import ERROR


def work(folder: Path) -> int:
    """Runs one rank of the stage in a folder and returns the exit code."""
    end_with_controller()
    patient_threads()
    rank = int(os.environ.get("RANK", "0"))
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the second one; nothing that was saved is lost
        stop.set(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        with crashes_noted(folder):
            _execute(folder, stop, main=rank == 0)
    except BusyError as error:
        # Another process owns the folder, where an error would look like one of its workers'.
        say(f"halo worker: {error}", err=True)
        return error.exit_code
    # All of them, SystemExit too: a rank that exits with 0 would look as if it had done its work.
    except BaseException as error:
        # The first error is the cause. The errors of other ranks follow from it.
        if not (folder / ERROR.name).exists():
            write_error(folder, error)
        return exit_code_of(error) if isinstance(error, HaloError) else 1
    return 0


def _execute(folder: Path, stop: StopFlag, *, main: bool) -> None:
    if not main:
        execute(folder, stop=stop, main=False)
        return
    with Board(relay_of() or LineSurface()).shown() as board:
        execute(folder, stop=stop, progress=board)


def main(arguments: Sequence[str]) -> int:
    """Runs a rank and returns its exit code, which is also that of the process.

    One of several ranks ends without the last part of Python's own end. A rank that failed has left
    its process group open, and then a thread of torch may still wait for Python, which aborts the
    process: its exit code would be 134, and its launcher would report that it was killed.

    Args:
        arguments: The stage's folder.
    """
    code = 1

    def end() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # The reader is gone.
                stream.flush()
        os._exit(code)

    if processes_here() > 1:
        # Functions at exit run in reverse order, and after the end of all threads that Python waits
        # for. So this one, which is registered before a stage is imported, is the last one.
        atexit.register(end)
    code = work(Path(arguments[0]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
