"""Runs the cells of a suite, one after another in this process or in parallel processes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from halo_core.display.board import Board
from halo_core.display.relay import print_lines, relayed
from halo_core.display.view import View
from halo_core.process_end import how_ended
from halo_core.run.controller import Runner
from halo_core.run.plan import Plan
from halo_core.run.status import new_status
from halo_core.stage import StopFlag
from halo_core.suite.state import CellOutcome, ended
from halo_core.usable_cores import usable_cores
from halo_core.workspace.records import ErrorRecord


class InPlace:
    """Runs one cell after another in this process, where libraries stay loaded.

    Args:
        board: Shows what the cells are doing.
        titles: Name of each cell on the board, by its id.
        stop: The flag that a signal handler sets.
        command: Returns the command line that runs a cell, for the record.
    """

    def __init__(
        self,
        *,
        board: Board,
        titles: Mapping[str, str],
        stop: StopFlag,
        command: Callable[[str], Sequence[str]],
    ) -> None:
        self._board = board
        self._titles = titles
        self._stop = stop
        self._command = command
        self._told_rows: set[tuple[str, Path]] = set()

    def __call__(self, plan: Plan) -> CellOutcome:
        """Runs a cell and returns how it ended."""
        assert plan.spec.cell is not None
        status = new_status(plan)
        self._board.title = self._titles[plan.spec.cell.id]
        runner = Runner(
            plan,
            status,
            board=self._board,
            stop=self._stop,
            command=self._command(plan.spec.cell.id),
            told_rows=self._told_rows,
        )
        try:
            runner.run()
        except KeyboardInterrupt as error:
            # The flag ends the suite. Without it, the next cell would start.
            self._stop.set(self._stop.signal_number)
            return ended(plan.spec.cell.id, status, error)
        except BaseException as error:  # One failed cell must not stop the others.
            return ended(plan.spec.cell.id, status, error)
        return ended(plan.spec.cell.id, status, None)

    def hurry(self) -> None:
        """Does nothing: there are no other processes."""


POLL_S = 0.05


class Processes:
    """Runs each cell as a process ``halo cell``, and prints its lines whole after the cell's id.

    A process gets its share of the cores and of the visible GPUs. It stops when this process is
    gone, because its standard input then ends.

    Args:
        command: Returns the arguments of `halo` that run a cell.
        jobs: Number of parallel processes.
        board: Shows what the cells are doing, side by side.
        titles: Name of each cell on the board, by its id.
        stop: The flag that is passed on to the processes.
    """

    def __init__(
        self,
        command: Callable[[str], Sequence[str]],
        *,
        jobs: int,
        board: Board,
        titles: Mapping[str, str],
        stop: StopFlag,
    ) -> None:
        self._command = command
        self._stop = stop
        self._say = board.say
        self._titles = titles
        self._running: dict[str, Callable[[], View | None]] = {}
        board.beside = self._views
        self._hurry = threading.Event()
        self._shares: queue.Queue[Mapping[str, str]] = queue.Queue()
        for share in shares(jobs, os.environ, _gpus()):
            self._shares.put(share)

    def __call__(self, plan: Plan) -> CellOutcome:
        """Runs a cell and returns how it ended."""
        assert plan.spec.cell is not None
        id_ = plan.spec.cell.id
        share = self._shares.get()
        try:
            with tempfile.TemporaryFile() as answer, relayed() as (environment, view):
                self._running[id_] = view
                exit_code = self._run(id_, {**share, **environment}, answer)
                answer.seek(0)
                return _outcome(plan, id_, exit_code, answer.read())
        finally:
            self._running.pop(id_, None)
            self._shares.put(share)

    def _views(self) -> list[View]:
        """Returns what each running cell is doing."""
        views = [
            replace(view() or View(), title=self._titles[id_])
            for id_, view in dict(self._running).items()
        ]
        return [View(title=f"{len(views)} cells are running"), *views] if len(views) > 1 else views

    def hurry(self) -> None:
        """Passes a second Ctrl-C on."""
        self._hurry.set()

    def _run(self, id_: str, share: Mapping[str, str], answer: IO[bytes]) -> int:
        process = subprocess.Popen(
            [sys.executable, "-m", "halo_core.cli", *self._command(id_)],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.PIPE,
            env={**os.environ, **share},
            start_new_session=True,  # This process passes Ctrl-C on, once.
        )
        assert process.stderr is not None
        reader = print_lines(process.stderr, lambda line: self._say(f"{id_} | {line}"))
        asked = 0
        while process.poll() is None:
            wanted = self._stop.is_set() + self._hurry.is_set()
            if wanted > asked:
                asked = wanted
                process.send_signal(self._stop.signal_number)
            time.sleep(POLL_S)
        reader.finish()
        assert process.stdin is not None
        process.stdin.close()
        return process.returncode


def _outcome(plan: Plan, id_: str, exit_code: int, answer: bytes) -> CellOutcome:
    """Returns the outcome that a process printed. A killed process printed none."""
    try:
        printed: dict[str, Any] = json.loads(answer)
    except ValueError:
        printed = {}
    if "status" in printed:
        return CellOutcome(
            id_, printed["run"], printed["status"], printed["stages"], printed["error"], exit_code
        )
    error = printed.get("error") or ErrorRecord(
        type="WorkerError",
        message=f"the process of the cell {how_ended(exit_code)}",
        location=str(plan.run_folder),
    )
    # A process that a signal ended has a negative code, which halo cannot use as its exit code.
    return CellOutcome(id_, plan.run_name, "failed", (), error, max(1, exit_code))


def shares(jobs: int, given: Mapping[str, str], gpus: Sequence[str]) -> list[dict[str, str]]:
    """Returns the environment variables that give each process its share of the machine.

    Args:
        jobs: Number of processes.
        given: The environment. Its settings for threads are kept.
        gpus: The visible GPUs. If there are fewer than processes, some processes share one.

    >>> shares(2, {"OMP_NUM_THREADS": "3"}, ["0", "1", "2"])
    [{'CUDA_VISIBLE_DEVICES': '0,2'}, {'CUDA_VISIBLE_DEVICES': '1'}]
    """
    variables: list[dict[str, str]] = [{} for _ in range(jobs)]
    for i, share in enumerate(variables):
        if "OMP_NUM_THREADS" not in given:
            share["OMP_NUM_THREADS"] = str(max(1, usable_cores() // jobs))
        if gpus:
            mine = gpus[i::jobs] or [gpus[i % len(gpus)]]
            share["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return variables


def _gpus() -> list[str]:
    """Returns the GPUs that CUDA_VISIBLE_DEVICES names, or else all GPUs of the driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    # The list comes from the driver, because the core has no torch, whose import takes seconds.
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
