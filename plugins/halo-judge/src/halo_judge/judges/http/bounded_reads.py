"""Bounds the reads of `requests` by the deadline of a request. It is imported with the client."""

from __future__ import annotations

import socket
from http import HTTPStatus
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

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

    class Connection(HTTPConnection):
        response_class = Reply

    class SecureConnection(HTTPSConnection):
        response_class = Reply

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options)
            if not proxy.lower().startswith("socks"):  # It has connections of its own.
                manager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
            return manager

    return Adapter(pool_maxsize=connections)
