"""The part of each machine in a stage that several machines compute, seen from machine 0."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.process_end import how_ended
from halo_core.run.machines.connection import Connection

MAIN, MACHINE, MACHINES = "HALO_MAIN", "HALO_MACHINE", "HALO_MACHINES"
"""Environment variables of a launcher: ``HOST:PORT`` of machine 0 for torch, the number of its
machine from 0, and the number of machines."""
LEFT_S = 10.0
"""Seconds after the failure of another machine until the processes here are ended."""
LOOK_S = 0.1


@dataclass
class Joined:
    """Another machine that has joined.

    Attributes:
        host: Its name.
        connection: The connection to it.
        ended: Exit code of its processes of the present stage; None while they run.
        error: Its message, if it could not start them.
        ended_at: Time of their end by `time.monotonic`.
        warnings: Its warnings about its processes that `Share.warnings` did not yet return.
    """

    host: str
    connection: Connection
    ended: int | None = None
    error: str = ""
    ended_at: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Takes in the messages that it has sent."""
        while (message := self.connection.receive()) is not None:
            if isinstance(message.get("ended"), int):
                self.ended, self.ended_at = message["ended"], time.monotonic()
                self.error = str(message.get("error", ""))
            if isinstance(message.get("warning"), str):
                self.warnings.append(message["warning"])

    @property
    def is_lost(self) -> bool:
        """Whether the connection to it has ended."""
        self.look()
        return self.connection.ended


@dataclass
class Share:
    """A stage that several machines compute; also one that only this machine computes.

    Attributes:
        environment: Variables of the launcher on this machine.
        others: The other machines, of which the first is machine 1.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[Joined] = ()

    def begin(self, folder: Path) -> None:
        """Tells the other machines to start their processes."""
        for number, other in enumerate(self.others, start=1):
            other.look()
            other.ended, other.error = None, ""
            other.warnings.clear()
            place = {**self.environment, MACHINE: str(number)}
            other.connection.send({"stage": str(folder), "environment": place})

    def failure(self) -> str | None:
        """Returns why the processes here must end; None if they need not."""
        for number, other in enumerate(self.others, start=1):
            name = f"machine {number} ({other.host})"
            if other.is_lost:
                return f"{name} is gone: its halo join ended, or the network failed"
            failed = other.ended not in (None, 0)
            if failed and time.monotonic() > other.ended_at + LEFT_S:
                told = f": {other.error}" if other.error else _code(other.ended or 0)
                return f"the processes of {name} ended{told}"
        return None

    def warnings(self) -> list[str]:
        """Returns new warnings of the other machines about their processes."""
        told = []
        for other in self.others:
            other.look()
            told += other.warnings
            other.warnings.clear()
        return told

    def over(self) -> None:
        """Tells the other machines to end processes that are still running."""
        for other in self.others:
            if other.ended is None:
                other.connection.send({"over": True})

    def end(self) -> None:
        """Waits for the end of the processes of the other machines.

        Then their errors are in the stage's folder.
        """
        self.over()
        last = time.monotonic() + 2 * LEFT_S
        while time.monotonic() < last and any(
            not other.is_lost and other.ended is None for other in self.others
        ):
            time.sleep(LOOK_S)


def _code(code: int) -> str:
    return f" with exit code {code}" if code >= 0 else f": their launcher {how_ended(code)}"
