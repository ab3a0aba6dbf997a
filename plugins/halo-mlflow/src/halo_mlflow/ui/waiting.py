"""Shows how long MLflow has been starting: on a terminal in one line, which is rewritten."""

from __future__ import annotations

import sys
from pathlib import Path

from halo_core.printing import Drawn, say, visible

EVERY_S = 10.0
"""Seconds between two lines if there is no terminal."""


class Waiting:
    """Shows on stderr how long the server has been starting.

    Args:
        log: The file with the server's output, which is named if it takes long.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._rewrites = sys.stderr.isatty()
        self._next_s = EVERY_S
        say("starting MLflow ...", err=True, end="" if self._rewrites else "\n")

    def tell(self, seconds: float) -> None:
        """Shows the seconds so far."""
        long = f"; its output is in {self._log}" if seconds >= EVERY_S else ""
        if self._rewrites:
            text = visible(f"starting MLflow ... {seconds:.0f} s{long}")
            say(Drawn(f"\r\x1b[K{text}"), err=True, end="")
        elif seconds >= self._next_s:
            self._next_s += EVERY_S
            say(f"starting MLflow ... {seconds:.0f} s{long}", err=True)

    def end(self) -> None:
        """Ends the line."""
        if self._rewrites:
            say(err=True)
