"""Notes the servers that code looks for and does not reach."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unreached() -> Iterator[list[str]]:
    """Yields the servers whose name is not found, or that refuse a connection, in the block."""
    found: list[str] = []
    look_up: Callable[..., Any] = socket.getaddrinfo
    kind: Any = socket.socket
    connect: Callable[..., Any] = kind.connect

    def noted_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return look_up(host, *arguments, **options)
        except OSError:
            found.append(str(host))
            raise

    def noted_connect(self: Any, address: Any) -> Any:
        try:
            return connect(self, address)
        except BlockingIOError:
            raise  # It is still connecting.
        except OSError:
            found.append(str(address[0] if isinstance(address, tuple) else address))
            raise

    socket.getaddrinfo = noted_look_up
    kind.connect = noted_connect
    try:
        yield found
    finally:
        socket.getaddrinfo = look_up
        kind.connect = connect


__all__ = ["unreached"]
