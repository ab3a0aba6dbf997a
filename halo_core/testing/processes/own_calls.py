"""Finds what a module does while it is imported, and what no audit event tells.

It needs the standard library only, so that a new interpreter can load it without this package.
"""

from __future__ import annotations

import io
import random
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from types import ModuleType
from typing import Any

WATCHED = ("builtins", "click", "halo_core", "pydantic")
"""Packages, besides the standard library, whose functions a module must not replace."""

WARNINGS = (warnings.__file__, warnings.WarningMessage.__init__.__code__.co_filename)
"""Files of the code that prints warnings. Python 3.14 has it in another one."""

SHOWN = 3
"""Number of replaced functions that a message names."""


@contextmanager
def own_calls(file: str) -> Iterator[list[str]]:
    """Yields a list, which gets a part of a sentence for each thing that a module does.

    These are: prints on stderr, seeds of `random`, filters that hide all warnings, threads that
    still run, and functions of other modules that it replaces. Calls of libraries that the module
    imports do not count.

    Args:
        file: The file of the module that the block imports.
    """
    done: dict[str, None] = {}
    started: list[threading.Thread] = []
    before = _functions()

    def noting(function: Callable[..., Any], note: Callable[..., str]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            if text := note(*args, **options) if _is_from(file) else "":
                done[text] = None
            return function(*args, **options)

        return noted

    def starts(thread: threading.Thread) -> str:
        started.append(thread)
        return ""

    notes: Mapping[tuple[Any, str], Callable[..., str]] = {
        (random, "seed"): lambda *_, **__: "seeds random",
        (warnings, "simplefilter"): _hides,
        (warnings, "filterwarnings"): _hides_all,
        (threading.Thread, "start"): starts,
    }
    usual = {place: getattr(*place) for place in notes}
    said = _Said(file)
    for (owner, name), note in notes.items():
        setattr(owner, name, noting(usual[owner, name], note))
    ours = {place: getattr(*place) for place in notes}
    found: list[str] = []
    try:
        with redirect_stderr(said):
            yield found
    finally:
        for (owner, name), function in usual.items():
            if getattr(owner, name) is ours[owner, name]:
                setattr(owner, name, function)
        found += done
        running = [each.name for each in started if each.is_alive()]
        found += [f"starts the thread {running[0]!r}"] if running else []
        found += [f"prints {said.own[:60]!r} on stderr"] if said.own.strip() else []
        replaced = _replaced(before, file)
        found += [f"replaces {', '.join(replaced[:SHOWN])}"] if replaced else []


class _Said(io.StringIO):
    """A stderr that keeps what the code of a file prints. Warnings do not count."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file
        self.own = ""

    def write(self, text: str, /) -> int:
        if _is_from(self._file, without=WARNINGS):
            self.own += text
        return len(text)


def _is_from(file: str, without: Collection[str] = ()) -> bool:
    """Returns whether code of a file makes a call, also through functions of other modules."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name in without or name.startswith("<frozen importlib"):
            return False  # The module imports a library, which does it.
        if name == file:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _hides(action: str, category: type[Warning] = Warning, *_: Any, **__: Any) -> str:
    return "hides all warnings of the process" if action == "ignore" and category is Warning else ""


def _hides_all(
    action: str,
    message: str = "",
    category: type[Warning] = Warning,
    module: str = "",
    *_: Any,
    **__: Any,
) -> str:
    return "" if message or module else _hides(action, category)


def _functions() -> Mapping[str, Mapping[str, Any]]:
    """Returns the functions and classes of the modules that are imported, by their modules."""
    return {
        name: {key: value for key, value in vars(module).items() if _counts(key, value)}
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and _is_watched(name)
    }


def _is_watched(name: str) -> bool:
    package = name.partition(".")[0]
    return package in sys.stdlib_module_names or package in WATCHED


def _counts(name: str, value: object) -> bool:
    return callable(value) and not name.startswith("_")


def _replaced(before: Mapping[str, Mapping[str, Any]], file: str) -> list[str]:
    """Returns the names of functions that are now others, and not those of a library."""
    now = {
        f"{module}.{name}": (function, getattr(sys.modules[module], name, None))
        for module, functions in before.items()
        for name, function in functions.items()
        if module in sys.modules
    }
    return sorted(
        name for name, (old, new) in now.items() if new is not old and not _is_library(new, file)
    )


def _is_library(function: object, file: str) -> bool:
    """Returns whether a function or a class is one of a library, which a module only imports."""
    name = getattr(function, "__module__", None) or ""
    place = getattr(function, "__globals__", None) or vars(sys.modules.get(name, sys))
    home = place.get("__file__")
    return home not in (None, file) and not _is_watched(str(place.get("__name__", "")))


__all__ = ["own_calls"]
