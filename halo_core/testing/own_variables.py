"""Finds environment variables that the code of a component sets, and leaves set."""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from halo_core.component import Component
from halo_core.testing.component import expect
from halo_core.testing.processes.effects import watching

NAMED = ("os.putenv", "os.unsetenv")
"""Audit events about a variable, whose name is the first argument."""


@contextmanager
def keeps_variables(component: Component, doing: str) -> Iterator[None]:
    """Checks that the code of a component's file leaves the environment as it was.

    Variables that libraries set do not count.

    Args:
        component: The component.
        doing: The calls in the block, for the message.

    Raises:
        AssertionError: When a variable that it set or removed has another value after the block.
    """
    mine = inspect.getsourcefile(type(component)) or ""
    before, own = dict(os.environ), Counter[str]()

    def take(event: str, arguments: tuple[Any, ...]) -> None:
        if event in NAMED and _caller() == mine:
            own[os.fsdecode(arguments[0])] += 1

    with watching(take):
        yield
    # One change is not set back. It may set the value that the variable has.
    changed = [n for n, times in own.items() if times == 1 or os.environ.get(n) != before.get(n)]
    expect(
        not changed,
        component,
        f"{doing} leaves the environment variable {', '.join(changed)} changed, which later stages "
        "of the process get, too; pass the value to what needs it, or set it back at the end",
    )


def _caller() -> str:
    """Returns the file of the code that changed `os.environ`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename == os.__file__
        or frame.f_code.co_filename.startswith("<frozen")
        or frame.f_globals.get("__name__", "").startswith("halo_core.testing.")
    ):
        frame = frame.f_back
    return frame.f_code.co_filename


__all__ = ["keeps_variables"]
