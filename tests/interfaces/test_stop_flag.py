"""A stop takes effect at the next check, or at once if nothing would be lost."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from halo_core.errors import Interrupted
from halo_core.stage import StopFlag
from halo_core.stop_flag import is_of_a_fork
from halo_core.workspace.lock import held


@pytest.fixture
def asked() -> Iterator[StopFlag]:
    """A flag that SIGALRM sets."""
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set(signal.SIGTERM)

    before = signal.signal(signal.SIGALRM, on_signal)
    yield stop
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def ask() -> None:
    signal.raise_signal(signal.SIGALRM)


def test_a_loop_without_end_is_stopped_at_once(asked: StopFlag) -> None:
    def loop() -> None:
        for number in itertools.count():
            with suppress(Exception):  # in the same way as errors of a template are handled
                if number == 100:
                    ask()

    with pytest.raises(Interrupted, match="nothing was lost") as interrupted:
        with asked.at_once("nothing was lost"):
            loop()
    assert interrupted.value.exit_code == 143


def test_waiting_for_a_lock_is_stopped_at_once(asked: StopFlag, tmp_path: Path) -> None:
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with held(tmp_path / "rows"):
            taken.set()
            free.wait()

    def wait() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with held(tmp_path / "rows"):
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with pytest.raises(Interrupted), asked.at_once("nothing was lost"):
        wait()
    free.set()
    thread.join()
    with held(tmp_path / "rows"):  # nothing of the stopped block holds it
        pass


def test_elsewhere_a_signal_waits_for_the_next_check(asked: StopFlag) -> None:
    with asked.at_once("x"):
        pass
    ask()
    assert asked.is_set()
    with pytest.raises(Interrupted, match="step 3 is kept"):
        asked.raise_interrupted("step 3 is kept")


def test_a_block_is_not_begun_when_asked_before() -> None:
    stop = StopFlag()
    stop.set(2)
    with pytest.raises(Interrupted, match="stopped; x") as interrupted, stop.at_once("x"):
        raise AssertionError
    assert interrupted.value.exit_code == 130


def test_a_signal_that_something_swallowed_ends_the_run_behind_the_block(asked: StopFlag) -> None:
    with pytest.raises(Interrupted), asked.at_once("x"), suppress(BaseException):
        ask()


def test_a_block_of_another_thread_is_not_interrupted() -> None:
    stop, inside, done = StopFlag(), threading.Event(), threading.Event()
    raised: list[str] = []

    def work() -> None:
        try:
            with stop.at_once("x"):
                inside.set()
                done.wait()
        except Interrupted as error:
            raised.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    stop.set(2)  # raises nothing here
    done.set()
    thread.join()
    assert raised == ["stopped; x"]


def test_a_forked_process_leaves_ctrl_c_to_the_one_that_saves() -> None:
    assert not is_of_a_fork(signal.SIGINT, os.getpid())
    child = os.fork()
    if not child:
        try:
            left = all(is_of_a_fork(number, os.getppid()) for number in (1, 2))
            if not left:
                os._exit(1)
            is_of_a_fork(signal.SIGTERM, os.getppid())
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
