"""Collects advice of the test kit: findings that break no rule, but may be mistakes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_collectors: list[list[str]] = []


class KitAdvice(UserWarning):
    """Advice about a component, where nobody collects it."""


def advise(subject: object, text: str) -> None:
    """Gives advice. `halo check` shows it as a row `warn`; elsewhere, it is a warning of Python.

    Args:
        subject: The component.
        text: A sentence that says what came, and what to do.
    """
    repeat(f"{subject!r}: {text}")


def repeat(said: str) -> None:
    """Gives advice again that was collected.

    Args:
        said: A text of `advised`.
    """
    if _collectors:
        if said not in _collectors[-1]:
            _collectors[-1].append(said)
    else:
        warnings.warn(said, KitAdvice, stacklevel=3)


@contextmanager
def advised() -> Iterator[list[str]]:
    """Collects the advice of a block."""
    texts: list[str] = []
    _collectors.append(texts)
    try:
        yield texts
    finally:
        _collectors.pop()


__all__ = ["KitAdvice", "advise", "advised", "repeat"]
