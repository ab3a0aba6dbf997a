"""Says in words how a process ended, from its exit code."""

from __future__ import annotations

import signal

SHELL = 128
"""Shells and launchers report the end by a signal as this number plus that of the signal."""


def signal_name(number: int) -> str:
    """Returns the name and the number of a signal. Most real-time signals have no name.

    >>> signal_name(11), signal_name(40)
    ('SIGSEGV, signal 11', 'signal 40')
    """
    try:
        return f"{signal.Signals(number).name}, signal {number}"
    except ValueError:
        return f"signal {number}"


def how_ended(code: int, *, by_launcher: bool = False) -> str:
    """Returns how a process ended, as the predicate of a sentence.

    Args:
        code: The exit code as `subprocess` gives it: below 0 if a signal ended the process.
        by_launcher: Whether a shell or a launcher gave the code, so that a code above 128 means
            the end by a signal.

    >>> how_ended(3), how_ended(-11)
    ('ended with exit code 3', 'was ended by SIGSEGV, signal 11')
    >>> how_ended(-9)
    'was ended by SIGKILL, signal 9; it was killed, possibly because memory ran out'
    >>> how_ended(137), how_ended(137, by_launcher=True)[:20]
    ('ended with exit code 137', 'was ended by SIGKILL')
    """
    if by_launcher and SHELL < code < SHELL + signal.NSIG:
        code = SHELL - code
    if code >= 0:
        return f"ended with exit code {code}"
    killed = "; it was killed, possibly because memory ran out" if -code == signal.SIGKILL else ""
    return f"was ended by {signal_name(-code)}{killed}"


__all__ = ["how_ended", "signal_name"]
