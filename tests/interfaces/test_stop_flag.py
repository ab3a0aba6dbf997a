"""A stop takes effect at the next check, or at once if nothing would be lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from halo_core.errors import Interrupted
from halo_core.stage import StopFlag
from halo_core.workspace.lock import held


@pytest.fixture
def soon() -> Iterator[StopFlag]:
    """A flag that a signal sets in a tenth of a second."""
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set(signal.SIGTERM)

    before = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield stop
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_loop_without_end_is_stopped_at_once(soon: StopFlag) -> None:
    def loop() -> None:
        while True:
            with suppress(Exception):  # in the same way as errors of a template are handled
                sum(range(100))

    with pytest.raises(Interrupted, match="nothing was lost") as interrupted:
        with soon.at_once("nothing was lost"):
            loop()
    assert interrupted.value.exit_code == 143


def test_waiting_for_a_lock_is_stopped_at_once(soon: StopFlag, tmp_path: Path) -> None:
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with held(tmp_path / "rows"):
            taken.set()
            free.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    begun = time.monotonic()
    with pytest.raises(Interrupted), soon.at_once("nothing was lost"), held(tmp_path / "rows"):
        pass
    assert time.monotonic() - begun < 5
    free.set()
    thread.join()
    with held(tmp_path / "rows"):  # nothing of the stopped block holds it
        pass


def test_elsewhere_a_signal_waits_for_the_next_check(soon: StopFlag) -> None:
    with soon.at_once("x"):
        pass
    end = time.monotonic() + 10
    while not soon.is_set():
        assert time.monotonic() < end
    with pytest.raises(Interrupted, match="step 3 is kept"):
        soon.raise_interrupted("step 3 is kept")


def test_a_block_is_not_begun_when_asked_before() -> None:
    stop = StopFlag()
    stop.set(2)
    with pytest.raises(Interrupted, match="stopped; x") as interrupted, stop.at_once("x"):
        raise AssertionError
    assert interrupted.value.exit_code == 130


def test_a_signal_that_something_swallowed_ends_the_run_behind_the_block(soon: StopFlag) -> None:
    with pytest.raises(Interrupted), soon.at_once("x"), suppress(BaseException):
        time.sleep(10)


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
