"""A body that must be complete by a deadline. It is imported with `httpx2`.

The time limits of HTTP clients apply to each read from the network. An endpoint that sends a byte
now and then, to keep the connection open, would never reach them.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import httpx2


class BoundedBody(httpx2.SyncByteStream):
    """The body of a response, up to a deadline.

    Args:
        body: The body.
        deadline: The time of `time.monotonic` at which it must be complete.
        timeout_s: The time limit that the user set, for the message.
    """

    def __init__(self, body: httpx2.SyncByteStream, deadline: float, timeout_s: float) -> None:
        self._body = body
        self._deadline = deadline
        self._timeout_s = timeout_s

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            if monotonic() > self._deadline:
                raise httpx2.ReadTimeout(
                    f"the reply was not complete after {self._timeout_s:g} s (timeout_s)"
                )
            yield part

    def close(self) -> None:
        """Closes the connection."""
        self._body.close()
