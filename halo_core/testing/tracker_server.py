"""A server on this machine for tests of trackers: it is slow, refuses, dies and comes back.

    with TrackerServer() as server:
        send(server.url)
        server.die()

It needs only the standard library, and answers every request with ``{}``.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self


class Request(NamedTuple):
    """A request that came.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        path: The path with the query.
        body: The bytes of the body.
        answered: Whether it got an answer.
    """

    method: str
    path: str
    body: bytes
    answered: bool


class TrackerServer:
    """The server, as a context manager that listens on a free port of 127.0.0.1.

    Attributes:
        requests: All requests, in the order of arrival.

    >>> import urllib.error, urllib.request
    >>> with TrackerServer() as server:
    ...     urllib.request.urlopen(f"{server.url}/runs", data=b"{}").read()
    ...     server.refuse()
    ...     try:
    ...         urllib.request.urlopen(f"{server.url}/runs")
    ...     except urllib.error.URLError as error:
    ...         type(error.reason).__name__
    ...     server.come_back()
    ...     urllib.request.urlopen(f"{server.url}/runs").status
    b'{}'
    'ConnectionRefusedError'
    200
    >>> [(request.method, request.body) for request in server.requests]
    [('POST', b'{}'), ('GET', b'')]
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._delay_s = 0.0
        self._dies = False
        self._lock = threading.Lock()
        self._http: _Server | None = _Server(("127.0.0.1", 0), self)
        self._port = self._http.server_address[1]
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        """The address, which stays the same."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._serve()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self.refuse()

    def answer_slowly(self, seconds: float) -> None:
        """Waits before each answer from now on.

        Args:
            seconds: The wait in seconds; 0 for none.
        """
        self._delay_s = seconds

    def die(self) -> None:
        """Closes each connection without an answer from now on, after reading the request."""
        self._dies = True

    def refuse(self) -> None:
        """Stops listening, so that clients get a ConnectionRefusedError."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def come_back(self) -> None:
        """Answers at once again, at the same address."""
        self._delay_s, self._dies = 0.0, False
        if self._http is None:
            self._http = _Server(("127.0.0.1", self._port), self)
            self._serve()

    def _serve(self) -> None:
        assert self._http is not None
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, method: str, path: str, body: bytes) -> bool:
        """Records a request and returns whether it gets an answer. For the handler."""
        end = time.monotonic() + self._delay_s
        while time.monotonic() < end and not self._closing.wait(0.01):
            pass
        with self._lock:
            self.requests.append(Request(method, path, body, not self._dies))
        return not self._dies


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], owner: TrackerServer) -> None:
        self.owner = owner
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert isinstance(self.server, _Server)
        if not self.server.owner.take(self.command, self.path, body):
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


__all__ = ["Request", "TrackerServer"]
