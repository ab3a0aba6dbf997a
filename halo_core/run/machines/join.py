"""Joins this machine to a run on another one, and starts its processes of each stage."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

from halo_core.display.relay import print_lines
from halo_core.errors import DataError, HaloError, UserError, WorkerError
from halo_core.guarded.stage_calls import command_of
from halo_core.run.execute import resolved_stage
from halo_core.run.lifeline import on_lifeline
from halo_core.run.machines.connection import Connection, halo_version
from halo_core.run.machines.meeting import join_folder
from halo_core.run.machines.share import LEFT_S, MACHINE
from halo_core.run.stopped_ranks import StoppedRanks
from halo_core.stage import Stage, StopFlag
from halo_core.workspace.records import JOIN, STAGE

LOOK_S = 0.2
SEEN_S = 60.0
"""Seconds until a file of another machine is surely seen in a shared folder."""


def join_run(folder: Path, *, wait_s: float, stop: StopFlag, say: Callable[[str], None]) -> int:
    """Works for a run until it ends, and returns its exit code.

    Args:
        folder: The run's folder, which may not exist yet.
        wait_s: Seconds to wait until the run listens.
        stop: A flag that the caller sets when the processes should save their state and stop.
        say: Shows a line.

    Raises:
        UserError: When no run listens, or it refuses this machine.
        WorkerError: When the run is gone.
        Interrupted: When asked to stop while there is nothing to do.
    """
    connection = _connected(folder, wait_s, stop, say)
    try:
        while True:
            message = connection.receive(LOOK_S)
            if message is None:
                if connection.ended:
                    raise WorkerError(
                        "the run on machine 0 is gone, and the processes here were ended. Start "
                        "both again to continue from the last checkpoint",
                        location=str(folder),
                    )
                if stop.is_set():
                    stop.raise_interrupted("this machine had nothing to do")
            elif "refused" in message:
                raise UserError(
                    f"the run refuses this machine: {message['refused']}", location=str(folder)
                )
            elif "bye" in message:
                return _exit_code(message)
            elif "stage" in message:
                reply, bye = _work(message, connection, stop, say)
                connection.send(reply)
                if bye is not None:
                    return bye
    finally:
        connection.close()


def _exit_code(message: Mapping[str, object]) -> int:
    """Returns the exit code of the run, from its last message."""
    code = message["bye"]
    return code if isinstance(code, int) else 1


def _connected(
    folder: Path, wait_s: float, stop: StopFlag, say: Callable[[str], None]
) -> Connection:
    """Returns a connection to the run, as soon as it listens."""
    last, told = time.monotonic() + wait_s, False
    while True:
        with suppress(DataError, OSError):  # Half a file, or a run that was killed.
            record = JOIN.read(join_folder(folder))
            if record is not None:
                place = record["host"], record["port"]
                connection = Connection(socket.create_connection(place, timeout=LEFT_S))
                hello = {"token": record["token"], "host": socket.gethostname()}
                connection.send({**hello, "version": halo_version()})
                say(f"joined the run {folder.name} on {place[0]}, port {place[1]}")
                return connection
        if not told:
            told = True
            say(f"waiting until the run in {folder} needs this machine")
        if stop.is_set():
            stop.raise_interrupted("this machine had nothing to do")
        if time.monotonic() > last:
            raise UserError(
                f"no run has asked for machines there within {wait_s:.0f} s; expected a halo run "
                "of a spec with `machines`, in a workspace that is the same folder on all machines",
                location=str(folder),
            )
        time.sleep(LOOK_S)


def _work(
    message: Mapping[str, object],
    connection: Connection,
    stop: StopFlag,
    say: Callable[[str], None],
) -> tuple[dict[str, object], int | None]:
    """Runs the processes of a stage.

    Returns:
        The message for the run about their end, and the run's exit code if the run has ended.
    """
    folder = Path(str(message["stage"]))
    given = message["environment"]
    environment = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
    try:
        command = command_of(_stage(folder), folder)
        if command is None:
            raise UserError("the stage runs in one process here", location=str(folder))
        say(f"{folder.name}: starting the processes of machine {environment.get(MACHINE)}")
        with on_lifeline(command, environment) as process:
            assert process.stdout is not None
            printing = print_lines(process.stdout, say)
            stopped = StoppedRanks(process.pid, partial(_warn, folder, connection, say))
            code, bye = _wait(process, connection, stop, stopped.look)
            printing.finish()
    except (HaloError, OSError, ValueError) as error:
        say(f"{folder.name}: {error}")
        return {"ended": 1, "error": str(error)}, None
    return {"ended": code}, bye


def _warn(folder: Path, connection: Connection, say: Callable[[str], None], text: str) -> None:
    """Shows a warning about the processes here, and sends it to the run, which records it."""
    say(f"{folder.name}: {text}")
    connection.send({"warning": text})


def _stage(folder: Path) -> Stage:
    """Returns the stage in a folder, as soon as its record is seen here."""
    last = time.monotonic() + SEEN_S
    while (record := STAGE.read(folder)) is None:
        if time.monotonic() > last:
            raise UserError(
                f"has no {STAGE.name} here; expected a workspace that is the same folder on all "
                "machines",
                location=str(folder),
            )
        time.sleep(LOOK_S)
    return cast(Stage, resolved_stage(record).component)


def _wait(
    process: subprocess.Popen[bytes],
    connection: Connection,
    stop: StopFlag,
    look: Callable[[], None],
) -> tuple[int, int | None]:
    """Waits for the processes, and ends those that the run no longer needs.

    Args:
        process: The program that starts them.
        connection: The connection to the run.
        stop: The flag that is passed on.
        look: A function that is called repeatedly while this one waits.

    Returns:
        Their exit code, and that of the run if it has ended meanwhile.
    """
    signalled, over_at = False, float("inf")
    bye: int | None = None
    while process.poll() is None:
        look()
        message = connection.receive(LOOK_S)
        if message is not None and ("over" in message or "bye" in message):
            over_at = min(over_at, time.monotonic() + LEFT_S)
        if message is not None and "bye" in message:
            bye = _exit_code(message)
        # The run closes the connection after its last message.
        if (connection.ended and bye is None) or time.monotonic() > over_at:
            process.kill()
        if connection.ended:
            time.sleep(LOOK_S)  # No message can come, so `receive` did not wait.
        if stop.is_set() and not signalled:
            signalled = True
            process.send_signal(stop.signal_number)
    return process.returncode, bye
