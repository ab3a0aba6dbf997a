"""Tells a stage about Ctrl-C or SIGTERM, either at its next check or at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from halo_core.errors import Interrupted


class StoppedNow(KeyboardInterrupt):
    """Ends a block of `StopFlag.at_once`, which catches it.

    It is not an `Exception`, so that code which tolerates errors of plugins and templates lets it
    through.
    """


class StopFlag:
    """A flag that is set after Ctrl-C or SIGTERM. A stage checks it between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._at_once = 0
        self.signal_number = 2

    def set(self, signal_number: int) -> None:
        """Asks the stage to stop at the next check.

        Raises:
            StoppedNow: In a signal handler, if the interrupted block must stop at once.
        """
        self.signal_number = signal_number
        self._event.set()
        # Signal handlers run in the main thread, so they interrupt only that thread.
        if self._at_once and threading.current_thread() is threading.main_thread():
            raise StoppedNow

    def is_set(self) -> bool:
        """Returns whether the stage should save its state and call `raise_interrupted`."""
        return self._event.is_set()

    def raise_interrupted(self, kept: str) -> None:
        """Raises `Interrupted` with a message that says what was kept.

        Raises:
            Interrupted: Always.
        """
        raise Interrupted(f"stopped; {kept}", signal_number=self.signal_number)

    @contextmanager
    def at_once(self, kept: str) -> Iterator[None]:
        """Stops a block within one Python instruction, and not at the next check.

        This is for work that has nothing to save: loading, tokenising, a template that may never
        end. The block's files must be complete or absent at any time, as if it were killed. A call
        of a library that runs without Python, such as the tokenisation of one batch, ends first.

        Args:
            kept: A text that says what was kept and how to continue.

        Raises:
            Interrupted: When a signal came before or while the block ran.
        """
        mine = threading.current_thread() is threading.main_thread()
        try:
            self._at_once += mine
            if not self._event.is_set():
                yield
        except StoppedNow:
            pass
        finally:
            self._at_once -= mine
        if self._event.is_set():
            self.raise_interrupted(kept)
