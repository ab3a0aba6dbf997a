"""Notices that an endpoint is down, so that thousands of requests need not time out."""

from __future__ import annotations

import threading


class Unreachable(Exception):
    """No reply after all retries; nothing was paid for, and it may be asked again."""


class Rejected(Exception):
    """The endpoint does not take this request (it is too long, say), while it takes others."""


class Outage:
    """Counts requests that failed in a row; threads share it.

    Args:
        concurrency: Requests that are under way at once; so many may fail together.
    """

    def __init__(self, concurrency: int) -> None:
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
