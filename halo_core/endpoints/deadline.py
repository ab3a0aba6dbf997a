"""The time limit of a whole request, which every read from its connection takes into account.

The limits of HTTP clients apply to each read. An endpoint that sends a byte now and then, of the
head of its reply or of the body, would never reach them.
"""

from __future__ import annotations

import threading
from time import monotonic


class Deadline:
    """The end of the current request of each thread.

    Args:
        timeout_s: Maximum seconds from the beginning of a request to the last byte of its reply.
        option: Name of the option that sets the limit, for the message; empty if none does.
    """

    def __init__(self, timeout_s: float, option: str = "") -> None:
        self._timeout_s = timeout_s
        self._option = option
        self._ends = threading.local()

    def begin(self) -> None:
        """Notes that this thread begins a request."""
        self._ends.at = monotonic() + self._timeout_s

    def left(self) -> float:
        """Returns the seconds that this thread's request has left: 0 or less if it is late."""
        end: float = self._ends.at
        return end - monotonic()

    def words(self) -> str:
        """Returns the message for a request that is late."""
        option = f" ({self._option})" if self._option else ""
        return f"the reply was not complete after {self._timeout_s:g} s{option}"
