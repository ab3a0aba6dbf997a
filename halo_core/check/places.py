"""Finds the line of an author's code that a broken rule is about."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator
from functools import lru_cache
from types import FunctionType

from halo_core.component import Component, interface_of
from halo_core.errors import HaloError, PluginError
from halo_core.plugins.error_place import package_of

MAIN = {
    "loss": "__call__",
    "reference_point": "estimate",
    "reference_update": "mix",
    "data": "load",
    "judge": "open",
    "stage": "run",
    "tracker": "open",
    "report": "write",
}
"""The method of each kind of component that its rules are about, if they name no other one."""

OF_CLASS = {
    *("kind", "documentation", "made", "frozen", "unknown-options", "options-as-json", "schema"),
    *("option-values", "option-bounds", "option-types", "option-defaults", "needed-here"),
    *("imports", "unchecked-rules"),
}
"""Rules about a class and its options, and not about its main method."""

_CALL = re.compile(r"\b(\w+)\(")
_OPTION = re.compile(r"\boptions? '(\w+)'")


def place_of(of: object, rule: str, said: str, error: BaseException | None = None) -> str:
    """Returns ``file:line`` of what a broken rule is about; "" if it is unknown.

    It is the line that raised, if one in the file of the component did. Otherwise it is the option
    or the method that the text names, or the main method of its kind, or the class.

    Args:
        of: The class or function.
        rule: The rule.
        said: The text of the finding.
        error: The error of the component, if there is one.
    """
    return raised_in(of, error) or _named_in(of, rule, said) or definition_of(of)


def raised_in(of: object, error: BaseException | None) -> str:
    """Returns ``file:line`` of the frame in the file of a class that is nearest to the cause.

    Args:
        of: A class or function.
        error: The error. Those that caused it are looked at, too.

    Returns:
        "" if there is no such frame.
    """
    file = definition_of(of).rpartition(":")[0]
    found, seen = "", set()
    while file and error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == file]
        found = f"{file}:{lines[-1]}" if lines else found
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return found


def is_of_the_kit(of: object, error: BaseException) -> bool:
    """Returns whether the kit raised an error by mistake, and not the code of an author.

    Args:
        of: A class or function of the author.
        error: The error.
    """
    if isinstance(error, AssertionError | HaloError):
        return False
    package = package_of(definition_of(of).rpartition(":")[0])
    frames = traceback.extract_tb(error.__traceback__)
    return not any(frame.filename.startswith(package) for frame in frames)


def _named_in(of: object, rule: str, said: str) -> str:
    if not (isinstance(of, type) and issubclass(of, Component)):
        return ""
    option = _OPTION.search(said)
    if option is not None and (place := _line_of_option(of, option[1])):
        return place
    names = [name for name in _CALL.findall(said) if name != of.__name__]
    if rule not in OF_CLASS:
        try:
            names.append(MAIN.get(interface_of(of).kind, ""))
        except PluginError:
            pass
    for name in names:
        for cls in _classes(of):
            function = vars(cls).get(name)
            if isinstance(function, FunctionType):
                return definition_of(inspect.unwrap(function))
    return ""


def _classes(of: type) -> Iterator[type]:
    """Yields the class, its bases, and the other classes of its file: a session, for example."""
    module = inspect.getmodule(of)
    yield from (each for each in of.__mro__ if each.__module__ == of.__module__)
    for each in vars(module).values() if module is not None else ():
        if isinstance(each, type) and each.__module__ == of.__module__:
            yield each


def _line_of_option(of: type, name: str) -> str:
    for cls in (each for each in of.__mro__ if each.__module__ == of.__module__):
        try:
            file, (lines, first) = inspect.getsourcefile(cls), inspect.getsourcelines(cls)
        except (OSError, TypeError):
            continue
        for number, line in enumerate(lines, start=first):
            if re.match(rf"\s+{re.escape(name)}\s*[:=]", line):
                return f"{file}:{number}"
    return ""


def definition_of(thing: object) -> str:
    """Returns ``file:line`` of the definition of a class or function; empty if it is unknown."""
    try:
        return _definition_of(thing)
    except (OSError, TypeError):
        return ""


@lru_cache
def _definition_of(thing: object) -> str:
    """Remembers what it found, because to find a class its whole file is parsed."""
    file = inspect.getsourcefile(thing)  # type: ignore[arg-type]
    _, line = inspect.getsourcelines(thing)  # type: ignore[arg-type]
    return f"{file}:{line}"
