"""Runs a stage in workers: starts its program, passes signals on, and shows what it does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from halo_core.display.board import EVERY_S, Board
from halo_core.display.relay import print_lines, relayed
from halo_core.errors import WorkerError
from halo_core.guarded.blame import plugin_error
from halo_core.run.ended_ranks import CONTINUE
from halo_core.run.execute import read_error
from halo_core.run.lifeline import on_lifeline
from halo_core.run.machines.share import Share
from halo_core.run.plan import PlannedStage
from halo_core.run.silent_end import silent_end
from halo_core.run.stopped_ranks import StoppedRanks
from halo_core.stage import StopFlag
from halo_core.workspace.records import DONE, ERROR, DoneRecord, stage_done

POLL_S = 0.05


def run_in_workers(
    stage: PlannedStage,
    command: Sequence[str],
    *,
    stop: StopFlag,
    board: Board,
    warn: Callable[[str], None],
    go_on: str,
    share: Share | None = None,
) -> DoneRecord:
    """Runs a stage in workers, passes signals on to them, and waits for them.

    Args:
        stage: The stage, whose folder has its `stage.json`.
        command: The program that the stage gives.
        stop: The flag that is passed on.
        board: Shows what rank 0 does.
        warn: Receives a warning about a process that stands still, here or on another machine.
        go_on: Advice on how to continue after an interruption.
        share: The part of each machine, if there are several.

    Raises:
        PluginError: When there is no such program, or it ends well without a result.
        WorkerError: When a worker ended without a result and without an error.
        Interrupted: When asked to stop.
        HaloError: The error of a worker.
    """
    # An error file of an earlier attempt would be read as the error of this one.
    (stage.folder / ERROR.name).unlink(missing_ok=True)
    share = share or Share()
    with (
        relayed() as (relay, view),
        _program(stage, command, {**relay, **share.environment}) as process,
    ):
        assert process.stdout is not None
        printing = print_lines(process.stdout, board.say)
        stopped = StoppedRanks(process.pid, warn)

        def look() -> None:
            board.relay(view())
            stopped.look()
            for message in share.warnings():
                warn(message)

        exit_code, lost = _wait(process, stop, look, share)
        printing.finish()
        board.relay_ended(view())
    share.end()
    done = stage_done(stage.folder)
    if done is not None:
        return done
    if lost is not None and not (stage.folder / ERROR.name).exists():
        raise WorkerError(f"{lost}. {CONTINUE}", location=str(stage.folder))
    if stop.is_set() and not (stage.folder / ERROR.name).exists():
        stop.raise_interrupted(f"the last checkpoint is kept; {go_on}")
    if exit_code == 0 and not (stage.folder / ERROR.name).exists():
        if (ended := silent_end(stage.folder)) is not None:
            raise WorkerError(f"{ended}. {CONTINUE}", location=str(stage.folder))
        what = f"gave {list(command)}, which ended with 0 without {DONE.name} in {stage.folder}"
        expected = "expected a program that calls halo_core.run.execute.execute"
        raise plugin_error(stage.spec.component, "command", f"{what}; {expected}")
    raise read_error(stage.folder, exit_code)


def _wait(
    process: subprocess.Popen[bytes], stop: StopFlag, look: Callable[[], None], share: Share
) -> tuple[int, str | None]:
    """Returns the exit code, and why another machine ended the work; None if none did."""
    signalled, looked = False, time.monotonic()
    lost: str | None = None
    try:
        while process.poll() is None:
            if stop.is_set() and not signalled:
                signalled = True
                process.send_signal(stop.signal_number)
            if time.monotonic() - looked >= EVERY_S:
                looked = time.monotonic()
                look()
            if lost is None and (lost := share.failure()) is not None:
                process.kill()
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    return process.returncode, lost


@contextmanager
def _program(
    stage: PlannedStage, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the program that a stage gives. Its remaining processes end with the block.

    Raises:
        PluginError: When there is no such program, or it cannot be started.
    """
    with ExitStack() as stack:
        try:
            process = stack.enter_context(on_lifeline(command, environment))
        except (OSError, ValueError) as error:
            what = f"gave {list(command)}, which cannot be started: {error}"
            raise plugin_error(stage.spec.component, "command", what) from error
        yield process
