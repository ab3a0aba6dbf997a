"""Ctrl-C and SIGTERM while something runs that can keep its state."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from halo_core.stage import StopFlag


@contextmanager
def stopping(stop: StopFlag) -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop; a second Ctrl-C is one at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        click.echo(f"\n{name}: saving the state; once more to stop at once", err=True)
        stop.set(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
