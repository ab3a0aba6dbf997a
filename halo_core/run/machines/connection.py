"""A connection between two machines of a run: JSON objects, one a line."""

from __future__ import annotations

import json
import queue
import socket
import threading
from contextlib import suppress
from importlib.metadata import version
from typing import Any

LONGEST = 65_536
"""Most bytes of a message. A longer one ends the connection."""
Message = dict[str, Any]


def halo_version() -> str:
    """Returns the version of halo, which all machines of a run must have."""
    return version("halo-core")


class Connection:
    """Sends and receives messages. A thread of its own listens for them.

    Args:
        connected: A connected socket, which this object closes.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._ended = False
        # A machine that loses its power or its network is noticed within two minutes.
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 5)):
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        threading.Thread(target=self._listen, name="machine", daemon=True).start()

    def _listen(self) -> None:
        try:
            with self._socket.makefile("rb") as lines:
                while line := lines.readline(LONGEST):
                    message = json.loads(line)
                    if not line.endswith(b"\n") or not isinstance(message, dict):
                        return
                    self._messages.put(message)
        except (OSError, ValueError):
            return
        finally:
            self._messages.put(None)

    def send(self, message: Message) -> bool:
        """Sends a message, and returns whether the connection took it."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self, wait_s: float = 0.0) -> Message | None:
        """Returns the next message; None if there is none yet, or the connection has ended."""
        if self._ended:
            return None
        try:
            message = self._messages.get(timeout=wait_s) if wait_s else self._messages.get_nowait()
        except queue.Empty:
            return None
        self._ended = message is None
        return message

    @property
    def ended(self) -> bool:
        """Whether the connection has ended, and all its messages were received."""
        return self._ended

    def close(self) -> None:
        """Ends the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
