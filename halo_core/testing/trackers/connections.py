"""Notes the connections that code opens, and knows the errors of a server that is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from halo_core.testing.processes.effects import watching

_AWAY = re.compile("Connect|Timeout|HTTP|URLError|SSL|Auth|Network|gaierror")
"""Parts of the names of errors that libraries raise if a server is away or refuses a request."""


@contextmanager
def connections() -> Iterator[list[str]]:
    """Yields the addresses to which the block connects, or whose names it looks up."""
    found: list[str] = []

    def take(event: str, arguments: tuple[Any, ...]) -> None:
        # An address that is a text is a file of this machine, such as that of the system's log.
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            found.append(":".join(map(str, arguments[1][:2])))
        elif event == "socket.getaddrinfo":
            found.append(str(arguments[0]))

    with watching(take):
        yield found


def is_away(error: BaseException | None) -> bool:
    """Returns whether an error, or a cause of it, says that a server cannot be reached or refuses.

    Args:
        error: The error.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if any(_AWAY.search(each.__name__) for each in type(error).__mro__):
            return True
        error = error.__cause__ or error.__context__
    return False


__all__ = ["connections", "is_away"]
