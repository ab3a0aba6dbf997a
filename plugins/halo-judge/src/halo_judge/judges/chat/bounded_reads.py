"""Bounds the reads of `httpx2` by the deadline of a request. It is imported with the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpcore2

from halo_judge.judges.endpoint.deadline import Deadline

_OPENED = (".connect_tcp.complete", ".start_tls.complete")
"""Ends of the names of events after which a connection exists."""


def tracer(deadline: Deadline) -> Callable[[str, Any], None]:
    """Returns the extension `trace` of a request, through which a client reports its connections.

    Each new connection gets a method `read` that knows the deadline. A thread that uses the
    connection later has a deadline of its own.
    """

    def trace(event: str, info: Any) -> None:
        if event.endswith(_OPENED):
            stream: httpcore2.NetworkStream = info["return_value"]
            # An attribute of the object, because the client offers no other place for it.
            setattr(stream, "read", _bounded(stream.read, deadline))  # noqa: B010

    return trace


def _bounded(read: Callable[..., bytes], deadline: Deadline) -> Callable[..., bytes]:
    def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
        left = deadline.left()
        if left <= 0:
            raise httpcore2.ReadTimeout(deadline.words())
        if timeout is not None and timeout < left:
            return read(max_bytes, timeout)
        try:
            return read(max_bytes, left)
        except httpcore2.ReadTimeout:
            raise httpcore2.ReadTimeout(deadline.words()) from None

    return bounded
