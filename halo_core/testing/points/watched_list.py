"""A list that notes what changes it, also if the change is undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class WatchedList(list[Any]):
    """A list that behaves like any other, and has the names of the methods that changed it.

    Attributes:
        changes: These names, in their order.
    """

    def __init__(self, values: Any = ()) -> None:
        super().__init__(values)
        self.changes: list[str] = []

    def __deepcopy__(self, memo: Any) -> list[Any]:
        return list(self)


def _noting(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def noted(self: WatchedList, *arguments: Any, **options: Any) -> Any:
        self.changes.append(name)
        return method(self, *arguments, **options)

    return noted


for _name in (
    *("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"),
    *("__delitem__", "__iadd__", "__imul__", "__setitem__"),
):
    setattr(WatchedList, _name, _noting(_name))


__all__ = ["WatchedList"]
