"""Tells a listener which rule of a check begins, and learns what its process is like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

Begins = Callable[[str, float, str], None]
"""Takes the name of a rule, the seconds that it may take, and the place of the component."""

_listeners: list[tuple[Begins, Collection[str]]] = []


@contextmanager
def listening(begins: Begins, left_out: Collection[str]) -> Iterator[None]:
    """Calls a function at the beginning of each rule in this block.

    Args:
        begins: The function.
        left_out: Names of rules that are not checked again.
    """
    _listeners.append((begins, left_out))
    try:
        yield
    finally:
        _listeners.pop()


def begin(rule: str, limit: float, place: str) -> bool:
    """Tells the innermost `listening` that a rule begins; returns whether it must be checked."""
    if not _listeners:
        return True
    begins, left_out = _listeners[-1]
    if rule in left_out:
        return False
    begins(rule, limit, place)
    return True


_folders: list[str] = []


def own_folder() -> str | None:
    """Returns the current folder if it was empty when the check of a component began, or None."""
    return _folders[-1] if _folders else None


def set_own_folder(folder: str) -> None:
    """Declares that this process checks one component in a folder that is otherwise empty."""
    _folders.append(folder)
