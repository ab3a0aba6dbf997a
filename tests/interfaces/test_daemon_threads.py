"""Threads of requests: order, limit, errors, cancelling, and a process that ends without them."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from halo_core.daemon_threads import DaemonThreads

SOON = 120
"""Seconds after which a test that waits for a thread fails."""


def test_calls_are_answered_by_at_most_so_many_threads() -> None:
    threads = DaemonThreads(3, "ask")
    meet = threading.Barrier(3, timeout=SOON)

    def call(number: int) -> tuple[int, str]:
        meet.wait()
        return number * number, threading.current_thread().name

    futures = [threads.submit(call, number) for number in range(12)]
    found = [future.result(SOON) for future in futures]
    assert [square for square, _ in found] == [n * n for n in range(12)]
    assert {name for _, name in found} == {"ask_0", "ask_1", "ask_2"}
    threads.shutdown()


def test_one_call_after_another_needs_one_thread() -> None:
    threads = DaemonThreads(8, "ask")
    for _ in range(4):
        threads.submit(int).result(SOON)
        assert threads._idle.acquire(timeout=SOON)  # The thread is idle a moment after the result.
        threads._idle.release()
    assert len(threads._threads) == 1
    threads.shutdown()


def test_an_error_is_that_of_its_call_and_others_go_on() -> None:
    threads = DaemonThreads(1, "ask")
    wrong, right = threads.submit(int, "x"), threads.submit(int, "7")
    with pytest.raises(ValueError, match="invalid literal"):
        wrong.result(SOON)
    assert right.result(SOON) == 7
    threads.shutdown()


def test_shutdown_waits_for_calls_that_began_and_cancels_the_others() -> None:
    threads = DaemonThreads(1, "ask")
    began, go_on = threading.Event(), threading.Event()

    def call() -> str:
        began.set()
        assert go_on.wait(SOON)
        return "done"

    first, second = threads.submit(call), threads.submit(int)
    assert began.wait(SOON)
    ending = threading.Thread(target=threads.shutdown)
    ending.start()
    with pytest.raises(CancelledError):
        second.result(SOON)
    assert not first.done()
    go_on.set()
    assert first.result(SOON) == "done"
    ending.join(SOON)
    assert not ending.is_alive()


def test_shutdown_need_not_wait_for_a_call_that_began() -> None:
    threads = DaemonThreads(1, "ask")
    began, go_on = threading.Event(), threading.Event()
    first = threads.submit(lambda: (began.set(), go_on.wait(SOON)))
    second = threads.submit(int)
    assert began.wait(SOON)
    threads.shutdown(wait=False)
    assert second.cancelled()
    assert not first.done()
    go_on.set()
    assert first.result(SOON)[1]
    threads._threads[0].join(SOON)
    assert not threads._threads[0].is_alive()


def test_a_process_ends_although_a_call_never_does() -> None:
    program = (
        "import threading\n"
        "from halo_core.daemon_threads import DaemonThreads\n"
        "began = threading.Event()\n"
        "DaemonThreads(2, 'ask').submit(lambda: (began.set(), threading.Event().wait()))\n"
        "began.wait()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=SOON)


def test_a_call_after_the_end_is_refused_and_waits_for_nobody() -> None:
    threads = DaemonThreads(2, "ask")
    threads.submit(int).result(SOON)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="the threads 'ask' have ended and take no more calls"):
        threads.submit(int)
