"""How many requests are under way at once, and when an endpoint that is down is asked no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Unreachable(Exception):
    """No reply after all retries; nothing was paid for, and it may be asked again."""


class Rejected(Exception):
    """The endpoint does not take this request (it is too long, say), while it takes others."""


class Pace:
    """A limit that adapts (additive increase, multiplicative decrease).

    Args:
        most: Requests at once, at most and to begin with.

    Attributes:
        most: The same.
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
        """Requests that may be under way at once now."""
        return int(self._limit)

    @property
    def round(self) -> int:
        """How often it was slowed down; a request carries it, see `slow_down`."""
        return self._round

    @property
    def held(self) -> bool:
        """Whether nothing is sent now, not even again."""
        return self._held.is_set()

    def hold(self) -> None:
        """Lets requests under way come back, and sends no more, until `go_on`."""
        self._held.set()

    def go_on(self) -> None:
        """Ends what `hold` began."""
        self._held.clear()

    def rest(self, seconds: float) -> None:
        """Waits, or until it is held."""
        self._held.wait(seconds)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Waits until one more request may start, and counts it while it is under way."""
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
        """Takes note of a reply: the limit grows by one for as many replies as it is large."""
        with self._free:
            self._limit = min(float(self.most), self._limit + 1 / self._limit)
            self._free.notify_all()


class Outage:
    """Counts requests that failed in a row; threads share it.

    Args:
        concurrency: Requests that are under way at once; so many may fail together.
    """

    def __init__(self, concurrency: int) -> None:
        # All that is under way fails together when an endpoint goes down, which is one failure.
        self._patience = max(8, concurrency)
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._reason = ""

    def note(self, reason: str) -> None:
        """Takes note of a request that failed."""
        with self._lock:
            self._in_a_row += 1
            self._reason = reason

    def over(self) -> None:
        """Takes note of one that was answered."""
        with self._lock:
            self._in_a_row = 0

    def check(self) -> None:
        """Raises Unreachable when the last requests all failed."""
        if self._in_a_row >= self._patience:
            raise Unreachable(f"the last {self._in_a_row} requests failed: {self._reason}")
