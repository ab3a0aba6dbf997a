"""Limits the number of concurrent requests, and stops requests to an endpoint that is down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from halo_judge.judges.endpoint.failures import Unreachable


class Pace:
    """A limit that adapts (additive increase, multiplicative decrease).

    Args:
        most: Maximum and initial number of concurrent requests.

    Attributes:
        most: Maximum number of concurrent requests.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._under_way = 0
        self._round = 0
        self._free = threading.Condition()
        self._held = threading.Event()

    @property
    def limit(self) -> int:
        """Current limit on concurrent requests."""
        return int(self._limit)

    @property
    def round(self) -> int:
        """Number of slowdowns so far. Each request records it, see `slow_down`."""
        return self._round

    @property
    def held(self) -> bool:
        """Whether nothing is sent now, including retries."""
        return self._held.is_set()

    def hold(self) -> None:
        """Lets requests in progress finish, and sends no more until `go_on`."""
        self._held.set()

    def go_on(self) -> None:
        """Ends the pause that `hold` started."""
        self._held.clear()

    def rest(self, seconds: float) -> None:
        """Waits for some seconds, or until `hold` is called."""
        self._held.wait(seconds)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Waits until one more request may start, and counts it while it is in progress."""
        with self._free:
            self._free.wait_for(lambda: self._under_way < self.limit)
            self._under_way += 1
        try:
            yield
        finally:
            with self._free:
                self._under_way -= 1
                self._free.notify_all()

    def slow_down(self, round_: int) -> None:
        """Halves the limit, once for all requests that were sent in the same round."""
        with self._free:
            if round_ == self._round:
                self._limit = max(1.0, self._limit / 2)
                self._round += 1

    def speed_up(self) -> None:
        """Counts a reply. The limit grows by one after as many replies as its size."""
        with self._free:
            self._limit = min(float(self.most), self._limit + 1 / self._limit)
            self._free.notify_all()


class Outage:
    """Counts consecutive failed requests. Threads share it.

    Args:
        concurrency: Number of concurrent requests, which may all fail together.
    """

    def __init__(self, concurrency: int) -> None:
        # When an endpoint goes down, all requests in progress fail together. That is one failure.
        self._patience = max(8, concurrency)
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._reason = ""

    def note(self, reason: str) -> None:
        """Counts a failed request."""
        with self._lock:
            self._in_a_row += 1
            self._reason = reason

    def over(self) -> None:
        """Resets the count after an answered request."""
        with self._lock:
            self._in_a_row = 0

    def check(self) -> None:
        """Raises Unreachable if the last requests all failed."""
        if self._in_a_row >= self._patience:
            raise Unreachable(f"the last {self._in_a_row} requests failed: {self._reason}")
