"""Tells a stage about Ctrl-C or SIGTERM, either at its next check or at once.

A terminal that is closed sends SIGHUP. It counts as SIGTERM, also in exit codes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from halo_core.errors import Interrupted


class BySignal(KeyboardInterrupt):
    """A KeyboardInterrupt that a signal caused. The signal handlers of halo raise it.

    So a KeyboardInterrupt that the code of a plugin raises by itself is known as its mistake.

    Args:
        signal_number: The signal, 2 (Ctrl-C) or 15 (SIGTERM).
    """

    def __init__(self, signal_number: int = signal.SIGINT) -> None:
        super().__init__()
        self.signal_number = int(signal_number)


def raise_by_signal(number: int, frame: FrameType | None) -> None:
    """Handles a signal in place of Python's own handler.

    Raises:
        BySignal: Always.
    """
    raise BySignal(stop_number(number))


def stop_number(number: int) -> int:
    """Returns the signal that a stage gets: SIGTERM also for a closed terminal.

    >>> stop_number(1), stop_number(2), stop_number(15)
    (15, 2, 15)
    """
    return int(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def is_of_a_fork(number: int, process: int) -> bool:
    """Returns whether a handler runs in a process that was forked after the handler was set.

    A library forks such processes, for example to load data. SIGTERM ends one, as its library
    expects. Ctrl-C and a closed terminal reach a whole process group, and are left to `process`,
    which ends the others when it has saved its state.

    Args:
        number: The signal.
        process: The id of the process that set the handler.
    """
    if os.getpid() == process:
        return False
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return True


def from_outside(error: BaseException) -> bool:
    """Returns whether nobody's code is to blame for an exception: a signal or Python raised it.

    Code that catches every exception of a plugin must raise these again. Python raises
    `GeneratorExit` within a generator that is closed. If a function raised it, that is a mistake.

    >>> from_outside(BySignal()), from_outside(GeneratorExit()), from_outside(SystemExit(0))
    (True, True, False)
    """
    if isinstance(error, BySignal):
        return True
    if isinstance(error, GeneratorExit):
        return not _raised_by_a_function(error)
    # Where halo is used as a library, Python's own handler may still be in place.
    standard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return type(error) is KeyboardInterrupt and standard


def _raised_by_a_function(error: BaseException) -> bool:
    import inspect  # This import is slow, and seldom needed.

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    closable = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    return trace is not None and not trace.tb_frame.f_code.co_flags & closable


class StoppedNow(BySignal):
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
