"""Starts the processes of a training: ``python -m halo_trainer.launch OPTIONS -m MODULE ...``.

It is torch's launcher with a rendezvous that listens on one address only, and with different
handling of errors and signals. Every process of a training reports its own errors, so the launcher
does not. A process that is asked to stop may take as long as its step takes, while torch would kill
it after 30 seconds. All processes end at once if the run or this launcher is gone: see
`halo_core.run.lifeline`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from halo_core.printing import say
from halo_core.run.ended_ranks import write_death
from halo_core.run.lifeline import end_with_controller, starts_workers

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def launch_command(folder: Path, processes: int, machines: int = 1) -> list[str]:
    """Returns the command that runs a stage in several processes. Each machine runs it.

    Args:
        folder: The stage's folder.
        processes: Number of processes on each machine.
        machines: Number of machines.
    """
    several = ["--machines", str(machines)] if machines > 1 else []
    return [
        *(sys.executable, "-m", "halo_trainer.launch", "--processes", str(processes)),
        *several,
        *("--stage", str(folder)),
        *("-m", "halo_core.worker", str(folder)),
    ]


def main(arguments: Sequence[str]) -> int:
    """Runs the processes until all have ended, and returns the first exit code that is not 0.

    SIGINT and SIGTERM are passed on to the processes. The second signal kills them.

    Args:
        arguments: The options of `_parser`, and a program with its own arguments.
    """
    end_with_controller()
    starts_workers()
    for number in SIGNALS:
        signal.signal(number, _pass_on)
    logging.disable(logging.CRITICAL)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        options = _parser().parse_args(arguments)
        _run_processes(options)
    except ChildFailedError as error:
        rank, failure = _cause(error)
        if options.stage is not None and failure.exitcode < 0:
            _write_death(options, rank, failure)
        return _exit_code(failure.exitcode)
    except SignalException as error:  # from a torch that cannot leave signals to this launcher
        return 128 + int(error.sigval)
    except Exception as error:
        say(f"the launcher failed: {type(error).__name__}: {error}", err=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m halo_trainer.launch")
    parser.add_argument("--processes", type=int, required=True, help="number of processes here")
    parser.add_argument("--machines", type=int, default=1, help="number of machines")
    parser.add_argument("--stage", type=Path, help="the stage's folder, for errors")
    parser.add_argument("-m", dest="module", action="store_true", help="the program is a module")
    parser.add_argument("program", help="the program of each process")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's arguments")
    return parser


def _run_processes(options: argparse.Namespace) -> None:
    """Runs the processes of this machine until all have ended.

    Raises:
        ChildFailedError: When a process failed.
        UserError: When the launchers cannot meet.
    """
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from halo_trainer import rendezvous

    rendezvous.register()
    place = rendezvous.place_of(options.machines, os.environ)
    rendezvous.use_interface(place, os.environ)
    _set_up_devices(options.processes)
    config = LaunchConfig(
        min_nodes=place.machines,
        max_nodes=place.machines,
        nproc_per_node=options.processes,
        run_id="halo",
        rdzv_backend=rendezvous.BACKEND,
        rdzv_endpoint=f"{place.host}:{place.port}",
        rdzv_configs={"machine": place.machine},
        max_restarts=0,
        **_signals_of_torch(LaunchConfig),
    )
    module = ["-m"] if options.module else []
    elastic_launch(config, sys.executable)("-u", *module, options.program, *options.arguments)


def _signals_of_torch(config: type) -> dict[str, Any]:
    """Returns the option that leaves the other signals to this launcher; none in an older torch."""
    named = {"signals_to_handle": "SIGHUP,SIGQUIT"}
    return named if "signals_to_handle" in {field.name for field in fields(config)} else {}


def _set_up_devices(processes: int) -> None:
    """Sets what torch's and accelerate's own launchers set for the processes of one machine."""
    from accelerate.utils.environment import check_cuda_p2p_ib_support

    if processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not check_cuda_p2p_ib_support():  # a GPU whose old driver cannot exchange memory
        os.environ.setdefault("NCCL_P2P_DISABLE", "1")
        os.environ.setdefault("NCCL_IB_DISABLE", "1")


def _write_death(options: argparse.Namespace, rank: int, failure: ProcessFailure) -> None:
    number = -failure.exitcode
    if number in SIGNALS:
        return  # It was asked to stop before it could listen.
    processes = options.processes * options.machines
    write_death(options.stage, rank=rank, processes=processes, process=failure.pid, number=number)


def _cause(error: ChildFailedError) -> tuple[int, ProcessFailure]:
    """Returns rank and failure of the cause: of a killed process, or the first that failed.

    When a process is killed, the others fail too, because they lose the connection to it. torch may
    see all of these failures at the same moment. When a process fails by itself, torch ends the
    others: with SIGTERM, and half a minute later with SIGKILL.
    """
    rank_of_first, first = error.get_first_failure()
    for rank, failure in error.failures.items():
        by_torch = failure.exitcode == -signal.SIGTERM or failure.timestamp > first.timestamp + 5
        if failure.exitcode < 0 and not by_torch:
            return rank, failure
    return rank_of_first, first


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
