"""Bounds the reads of `httpx2`, which the `openai` client uses, by the deadline of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halo_core.endpoints.deadline import Deadline

_OPENED = (".connect_tcp.complete", ".start_tls.complete")
"""Ends of the names of events after which a connection exists."""


def tracer(deadline: Deadline, read_timeout: type[Exception]) -> Callable[[str, Any], None]:
    """Returns the extension `trace` of a request, through which a client reports its connections.

    Each new connection gets a method `read` that knows the deadline. A thread that uses the
    connection later has a deadline of its own.

    Args:
        deadline: The deadline of each thread's request.
        read_timeout: The error that the connections raise for a late read,
            `httpcore2.ReadTimeout`. The core does not depend on this package.
    """

    def trace(event: str, info: Any) -> None:
        if event.endswith(_OPENED):
            stream = info["return_value"]
            # An attribute of the object, because the client offers no other place for it.
            stream.read = _bounded(stream.read, deadline, read_timeout)

    return trace


def _bounded(
    read: Callable[..., bytes], deadline: Deadline, read_timeout: type[Exception]
) -> Callable[..., bytes]:
    def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
        left = deadline.left()
        if left <= 0:
            raise read_timeout(deadline.words())
        if timeout is not None and timeout < left:
            return read(max_bytes, timeout)
        try:
            return read(max_bytes, left)
        except read_timeout:
            raise read_timeout(deadline.words()) from None

    return bounded
