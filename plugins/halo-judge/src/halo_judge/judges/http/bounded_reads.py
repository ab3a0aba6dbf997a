"""Bounds the reads of `requests` by the deadline of a request. It is imported with the client."""

from __future__ import annotations

import socket
from http import HTTPStatus
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

from requests.adapters import HTTPAdapter

from halo_core.endpoints.deadline import Deadline

_FINAL = (HTTPStatus.SWITCHING_PROTOCOLS,)
"""Statuses below 200 after which no other reply comes."""


class _BoundedReads(RawIOBase):
    """The bytes that come from a connection, up to a deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._source = connection.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left()
        if left <= 0:
            raise TimeoutError(self._deadline.words())
        self._connection.settimeout(left)
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


def bounded_adapter(deadline: Deadline, connections: int) -> HTTPAdapter:
    """Returns an adapter whose connections read a reply until a deadline.

    Args:
        deadline: The deadline of each thread's request.
        connections: Maximum number of connections that are kept open.
    """
    reply = _bounded_reply(deadline)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            _bound(self.poolmanager, reply)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            is_new = proxy not in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **options)
            if is_new:
                _bound(manager, reply)
            return manager

    return Adapter(pool_maxsize=connections)


def _bounded_reply(deadline: Deadline) -> type[HTTPResponse]:
    class Reply(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp.close()
            self.fp = BufferedReader(_BoundedReads(sock, deadline))

        def begin(self) -> None:
            super().begin()
            # Python itself passes over 100 only, and would take the others for the reply.
            while HTTPStatus.CONTINUE < self.status < HTTPStatus.OK and self.status not in _FINAL:
                self.headers = self.msg = None  # type: ignore[assignment]
                super().begin()

    return Reply


def _bound(manager: Any, reply: type[HTTPResponse]) -> None:
    """Lets all connections of a manager read such replies, also those of a SOCKS proxy."""
    pools = {}
    for scheme, pool in manager.pool_classes_by_scheme.items():
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": reply})
        pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
    manager.pool_classes_by_scheme = pools
