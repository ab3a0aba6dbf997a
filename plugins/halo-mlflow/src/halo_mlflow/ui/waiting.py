"""Shows how long MLflow has been starting: on a terminal in one line, which is rewritten."""

from __future__ import annotations

import sys
from pathlib import Path

import click

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
        click.echo("starting MLflow ...", err=True, nl=not self._rewrites)

    def tell(self, seconds: float) -> None:
        """Shows the seconds so far."""
        long = f"; its output is in {self._log}" if seconds >= EVERY_S else ""
        if self._rewrites:
            click.echo(f"\r\x1b[Kstarting MLflow ... {seconds:.0f} s{long}", err=True, nl=False)
        elif seconds >= self._next_s:
            self._next_s += EVERY_S
            click.echo(f"starting MLflow ... {seconds:.0f} s{long}", err=True)

    def end(self) -> None:
        """Ends the line."""
        if self._rewrites:
            click.echo("", err=True)
