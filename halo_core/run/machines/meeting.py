"""Waits on machine 0 for the other machines of a run.

`halo run` listens on one address as soon as a stage needs several machines. `halo join RUN` on each
other machine reads this address and a secret in the run's folder, which all machines share, and
connects. The connection is their lifeline: if the run is gone, the other machines see its end, and
their processes end too. If one of them is gone, the run ends the stage.
"""

from __future__ import annotations

import hmac
import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from halo_core.errors import UserError, exit_code_of
from halo_core.run.machines.addresses import ADDRESS, address_of, own_address
from halo_core.run.machines.connection import Connection, halo_version
from halo_core.run.machines.share import LOOK_S, MACHINE, MACHINES, MAIN, Joined, Share
from halo_core.workspace.records import JOIN, JoinRecord

HELLO_S = 60.0
"""Seconds that a new connection has to name the secret."""


class Meeting:
    """The machines of a run. Use it as a context: at its end, the other machines are sent home.

    Args:
        folder: The run's folder, which all machines share.
        say: Shows a line.
        waiting: Shows what the run waits for, until the returned context ends.
        check: Raises an error if the run is asked to stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        say: Callable[[str], None],
        waiting: Callable[[str], AbstractContextManager[object]],
        check: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._say, self._waiting, self._check = say, waiting, check
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._over = threading.Event()
        self._host = ""
        self._token = secrets.token_hex(32)
        self._joined: list[Joined] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listening is None:
            return
        self._over.set()
        with suppress(OSError):  # Not every system can, and then the thread looks for itself.
            self._listening.shutdown(socket.SHUT_RDWR)
        # A thread that waits at a closed socket may wake up at a new one with the same number.
        if self._accepting is not None:
            self._accepting.join()
        self._listening.close()
        shutil.rmtree(join_folder(self._folder), ignore_errors=True)
        for other in self._joined:
            other.connection.send({"bye": 0 if error is None else exit_code_of(error)})
            other.connection.close()

    @contextmanager
    def share(self, folder: Path, machines: int) -> Iterator[Share]:
        """Lets machines compute a stage together, as soon as enough of them have joined.

        Args:
            folder: The stage's folder, with its `stage.json`.
            machines: Number of machines, this one included.

        Raises:
            UserError: When this machine cannot listen on an address that others reach.
        """
        if machines == 1:
            yield Share()
            return
        others = self._others(machines - 1)
        main = f"{self._host}:{_free_port(self._host)}"
        share = Share({MAIN: main, MACHINE: "0", MACHINES: str(machines)}, others)
        share.begin(folder)
        try:
            yield share
        finally:
            share.over()

    def _others(self, count: int) -> list[Joined]:
        """Returns other machines in the order in which they joined, and waits until they have."""
        port = self._listen()
        missing = count - len(self._present())
        if missing > 0:
            many = "1 more machine is" if missing == 1 else f"{missing} more machines are"
            self._say(
                f"{many} needed. Start there, where the workspace is the same folder: halo join "
                f"{self._folder} (it connects to {self._host}, port {port})"
            )
            pause = threading.Event()
            with self._waiting("waiting for other machines"):
                while len(self._present()) < count:
                    self._check()
                    pause.wait(LOOK_S)
        return self._present()[:count]

    def _present(self) -> list[Joined]:
        # The list is never replaced, because another thread may add a machine at the same time.
        for lost in [other for other in self._joined if other.is_lost]:
            self._joined.remove(lost)
        return self._joined

    def _listen(self) -> int:
        """Listens for other machines, if it does not yet, and returns the port."""
        if self._listening is not None:
            return int(self._listening.getsockname()[1])
        self._host, port = own_address()
        family, address = address_of(self._host)
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
            listening.listen()
        except OSError as error:
            listening.close()
            raise UserError(
                f"this machine cannot listen on {address}, port {port}: {error.strerror}; set "
                f"{ADDRESS} to HOST:PORT with an address of this machine and a free port",
                location=ADDRESS,
            ) from error
        self._listening = listening
        port = int(listening.getsockname()[1])
        folder = join_folder(self._folder)
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(mode=0o700)  # Nobody else may read the secret.
        JOIN.write(folder, JoinRecord(host=self._host, port=port, token=self._token))
        listening.settimeout(LOOK_S)
        self._accepting = threading.Thread(
            target=self._accept, args=(listening,), name="meeting", daemon=True
        )
        self._accepting.start()
        return port

    def _accept(self, listening: socket.socket) -> None:
        while not self._over.is_set():
            try:
                connected, _ = listening.accept()
            except TimeoutError:
                continue
            except OSError:  # One that has gone again, or too many open files.
                self._over.wait(LOOK_S)
                continue
            # A stranger that says nothing must not keep others from joining.
            threading.Thread(target=self._welcome, args=(connected,), daemon=True).start()

    def _welcome(self, connected: socket.socket) -> None:
        connection = Connection(connected)
        hello = connection.receive(HELLO_S) or {}
        if not hmac.compare_digest(str(hello.get("token")).encode(), self._token.encode()):
            connection.close()
            return
        host, version = str(hello.get("host")), str(hello.get("version"))
        if version != halo_version():
            connection.send({"refused": f"it has halo {version}, and the run {halo_version()}"})
            connection.close()
            return
        connection.send({"welcome": True})
        self._joined.append(Joined(host, connection))
        self._say(f"{host} has joined the run")


def join_folder(run: Path) -> Path:
    """Returns the folder in a run's folder that says how other machines join it."""
    return run / ".join"


def _free_port(host: str) -> int:
    family, address = address_of(host)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
