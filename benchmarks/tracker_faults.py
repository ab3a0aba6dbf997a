"""An MLflow server with faults: slow, refusing, or killed and started again. Seeded."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from halo_mlflow.store.store import choose_store
from halo_mlflow.ui.server import served, server_command, server_environment

LOST, REFUSED, CLOSED, LATE = "answer lost", "400 or 503", "closed", "late"
TROUBLE = b'{"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) trouble"}'


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An MLflow server of a workspace that can be killed and started again at the same port.

    Args:
        workspace: The workspace whose database it serves.
    """

    def __init__(self, workspace: Path) -> None:
        self._store = choose_store(None, workspace)
        self._workspace = workspace
        self.port = free_port()
        self._context: contextlib.ExitStack | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        self._context = contextlib.ExitStack()
        command = server_command("127.0.0.1", self.port)
        environment = server_environment(self._store, os.environ)
        # The proxy passes its own port on as the host.
        at = command.index("--allowed-hosts") + 1
        command[at] = "*"
        self._context.enter_context(
            served(command, environment, self._workspace, self.url, lambda: False)
        )

    def stop(self) -> None:
        """Ends the server, if it runs."""
        if self._context is not None:
            self._context.close()
            self._context = None


@contextmanager
def proxied(port: int, kind: str, seed: int, counts: Counter[str]) -> Iterator[str]:
    """Yields the address of a proxy that spoils three of ten batches of metrics.

    Args:
        port: The port of the server.
        kind: ``slow`` or ``refuses``.
        seed: The seed of the faults.
        counts: Gets the number of faults of each kind.
    """
    chance = random.Random(seed)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            spoiled = "log-batch" in self.path and chance.random() < 0.3
            faults = [LATE] if kind == "slow" else [LOST, REFUSED, CLOSED]
            self._pass_on(chance.choice(faults) if spoiled else None)

        do_PATCH = do_PUT = do_DELETE = do_POST

        def _pass_on(self, fault: str | None) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault is not None:
                counts[fault] += 1
            if fault == CLOSED:
                self.close_connection = True
                return
            if fault == REFUSED:
                self._answer(chance.choice([400, 503]), TROUBLE)
                return
            if kind == "slow":
                time.sleep(0.1)
            status, answer = self._ask(body)
            if fault == LATE:
                time.sleep(2.5)  # The client has given up, and the server has the points.
            if fault == LOST:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self._answer(status, answer)

        def _ask(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                reply = connection.getresponse()
                return reply.status, reply.read()
            except OSError:
                return 503, b"{}"
            finally:
                connection.close()

        def _answer(self, status: int, answer: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # A client that gave up.
                super().handle()

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
