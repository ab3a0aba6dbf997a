"""Starts the processes of a training: ``python -m halo_trainer.launch OPTIONS -m MODULE ...``.

It is ``accelerate launch`` with different handling of errors and signals. Every process of a
training reports its own errors, so the launcher does not. A process that is asked to stop may take
as long as its step takes, while torch's launcher would kill it after 30 seconds. All processes end
at once if the run or this launcher is gone: see `halo_core.run.lifeline`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psutil

from halo_core.printing import say
from halo_core.run.lifeline import end_with_controller, starts_workers

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def launch_command(folder: Path, processes: int) -> list[str]:
    """Returns the command that runs a stage in several processes on this machine.

    Args:
        folder: The stage's folder.
        processes: Number of processes.
    """
    # --multi_gpu starts plain torch ranks. Ranks without a GPU, or with the CPU as their device,
    # communicate over gloo.
    return [
        *(sys.executable, "-m", "halo_trainer.launch", "--multi_gpu"),
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *("-m", "halo_core.worker", str(folder)),
    ]


def main(arguments: Sequence[str]) -> int:
    """Runs the processes until all have ended, and returns the first exit code that is not 0.

    SIGINT and SIGTERM are passed on to the processes. The second signal kills them.

    Args:
        arguments: Arguments of ``accelerate launch``.
    """
    end_with_controller()
    starts_workers()
    # A variable of torch: the signals that its own launcher handles. This launcher handles others.
    os.environ.setdefault("PET_SIGNALS_TO_HANDLE", "SIGHUP,SIGQUIT")
    for number in SIGNALS:
        signal.signal(number, _pass_on)
    logging.disable(logging.CRITICAL)
    from accelerate.commands.launch import (
        launch_command as accelerate_launch,
        launch_command_parser,
    )
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        accelerate_launch(launch_command_parser().parse_args(list(arguments)))
    except ChildFailedError as error:
        return _exit_code(_cause(error).exitcode)
    except SignalException as error:  # from a torch that does not know PET_SIGNALS_TO_HANDLE
        return 128 + int(error.sigval)
    except Exception as error:
        say(f"the launcher failed: {type(error).__name__}: {error}", err=True)
        return 1
    return 0


def _cause(error: ChildFailedError) -> ProcessFailure:
    """Returns the failure that the others follow from: that of a killed process, or the first.

    When a process is killed, the others fail too, because they lose the connection to it. torch may
    see all of these failures at the same moment. When a process fails by itself, torch ends the
    others: with SIGTERM, and half a minute later with SIGKILL.
    """
    first = error.get_first_failure()[1]
    for failure in error.failures.values():
        by_torch = failure.exitcode == -signal.SIGTERM or failure.timestamp > first.timestamp + 5
        if failure.exitcode < 0 and not by_torch:
            return failure
    return first


def _exit_code(code: int) -> int:
    """Returns the exit code as a shell writes it: 128 + N if signal N ended the process."""
    return 128 - code if code < 0 else code


def _pass_on(number: int, frame: FrameType | None) -> None:
    processes = psutil.Process().children()
    if not processes:
        raise SystemExit(128 + number)
    for name in SIGNALS:
        signal.signal(name, _kill)
    for process in processes:
        process.send_signal(number)


def _kill(number: int, frame: FrameType | None) -> None:
    for process in psutil.Process().children(recursive=True):
        process.kill()
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
