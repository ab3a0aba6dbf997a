"""A pool of threads that do not keep the process alive.

Python waits for the threads of a `ThreadPoolExecutor` before it exits. A second Ctrl-C would then
wait for a server that does not answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class DaemonThreads:
    """Calls functions in a limited number of daemon threads, in the order in which they came.

    Args:
        most: Largest number of threads. Each starts when it is needed.
        name: Name of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._ended = False

    def submit(self, call: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Calls a function in a thread, and returns its future result.

        Raises:
            RuntimeError: After `shutdown`, when no thread would ever take the call.
        """
        if self._ended:
            raise RuntimeError(f"the threads {self._name!r} have ended and take no more calls")
        future: Future[Result] = Future()
        self._calls.put((future, call, arguments))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            future, call, arguments = taken
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call(*arguments))
                except BaseException as error:  # Whoever asks for the result raises it.
                    future.set_exception(error)
            del future, call, arguments, taken  # An idle thread keeps no reply.
            self._idle.release()

    def shutdown(self, *, wait: bool = True) -> None:
        """Cancels the calls that have not begun. Each thread ends after its call.

        Args:
            wait: Whether to wait for the calls that have begun.
        """
        self._ended = True
        while True:
            try:
                taken = self._calls.get_nowait()
            except Empty:
                break
            if taken is not None:
                taken[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join()
