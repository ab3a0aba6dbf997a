"""Blames the right plugin: what a third party's code raised or gave back, and where in its files.

Every call of a component's method from the core goes through `blaming`. What the method raises by
accident becomes a `PluginError` that names the component, its distribution and a line of *its*
source; what it raises on purpose (any `HaloError`) passes through.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from types import CodeType, TracebackType
from typing import Any, TypeGuard

from halo_core.component import Component, Origin
from halo_core.errors import HaloError, PluginError

FILE_PREFIX = "file:"


@contextmanager
def blaming(component: Component, call: str) -> Iterator[None]:
    """Turns what a component's method raises by accident into an error that blames its plugin.

    Args:
        component: Whose method is called within the `with` statement.
        call: The call, for the message: ``load('train')``; parentheses are added where it has none.

    Raises:
        PluginError: In place of any exception that is no `HaloError`, and of `SystemExit`: a plugin
            that calls ``sys.exit(0)`` must not end halo as if all had gone well.
    """
    try:
        yield
    except HaloError:
        raise
    except (Exception, SystemExit) as error:
        raise _raised(component, call, error) from error


@contextmanager
def blaming_exit(component: Component, call: str) -> Iterator[None]:
    """Is `blaming` where exceptions are borne: it blames a component for `SystemExit` alone.

    Raises:
        PluginError: In place of `SystemExit`.
    """
    try:
        yield
    except SystemExit as error:
        raise _raised(component, call, error) from error


def _raised(component: Component, call: str, error: BaseException) -> PluginError:
    what = f"raised {type(error).__name__}: {error}"
    return plugin_error(component, call, what, trace=error.__traceback__)


def plugin_error(
    component: Component,
    call: str,
    what: str,
    *,
    trace: TracebackType | None = None,
    function: Callable[..., object] | None = None,
) -> PluginError:
    """Returns the error that blames a component for one of its methods.

    Args:
        component: Who is to blame.
        call: The method, as for `blaming`.
        what: What it did: ``returned None; expected a LossOutput``.
        trace: Where it raised; the place is then the innermost line of the plugin's own files.
        function: What was called, where it is no method of the component but of what it opened.
    """
    method, _, arguments = call.partition("(")
    message = (
        f"{component.spec_name}.{method}({arguments or ')'} {what}{_from(component.spec_origin)}"
    )
    place = raised_in(trace, component) or definition_of(component, method, function)
    return PluginError(message, location=place)


def _from(origin: Origin | None) -> str:
    if origin is None or origin.distribution.startswith(FILE_PREFIX):
        return ""
    return f" ({origin.distribution} {origin.version})"


def raised_in(trace: TracebackType | None, component: Component) -> str | None:
    """Returns ``file:line`` of the innermost frame in a component's own files; None without one."""
    for frame in reversed(traceback.extract_tb(trace)):
        if owns(component, frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return None


def owns(component: Component, file: str) -> bool:
    """Returns whether a source file belongs to the package, or the file, of a component's class."""
    # Both packages own their files: the one that registered a class may only pass on another's.
    if component.spec_origin is not None:
        target = component.spec_origin.target
        if target.startswith(FILE_PREFIX):
            return file == component.spec_origin.file
        if _is_in(file, target.partition(":")[0]):
            return True
    return _is_in(file, type(component).__module__)


def _is_in(file: str, module: str) -> bool:
    """Returns whether a file is one of the top-level package that a module belongs to."""
    top = sys.modules.get(module.partition(".")[0])
    if top is None:
        return False
    folders = [os.path.join(folder, "") for folder in getattr(top, "__path__", ())]
    return file == getattr(top, "__file__", None) or file.startswith(tuple(folders))


def definition_of(
    component: Component, method: str, function: Callable[..., object] | None = None
) -> str:
    """Returns ``file:line`` where a component's class defines a method; else the class itself.

    A method that is inherited from the core is not the plugin's: then the class is the place.

    Args:
        component: Whose files are looked at.
        method: The name of the method.
        function: The method itself, where it is of what the component opened.
    """
    # A method that is not there is taken for `blaming`, which no plugin owns: its class is blamed.
    called: Any = getattr(type(component), method, blaming) if function is None else function
    code = getattr(inspect.unwrap(called), "__code__", None)
    if isinstance(code, CodeType) and owns(component, code.co_filename):
        return f"{code.co_filename}:{code.co_firstlineno}"
    return class_place(type(component))


def class_place(cls: type) -> str:
    """Returns ``file:line`` of a class's definition; its dotted name where there is no source."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def first_wrong(given: object, right: Mapping[str, bool]) -> str | None:
    """Returns the first value of an object that cannot be, for a message; None without one.

    Args:
        given: What a plugin gave.
        right: Name of an attribute to whether its value can be.
    """
    wrong = [name for name, holds in right.items() if not holds]
    return f"the {wrong[0]} {getattr(given, wrong[0])!r}" if wrong else None


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value is a finite Python number; truth values are none.

    A whole number that is too large for a float is none either: nobody could print it.

    >>> is_number(0.5), is_number(float("nan")), is_number(True), is_number("1")
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def is_text(value: object) -> TypeGuard[str]:
    r"""Returns whether a value is text that can be printed: half of a surrogate pair cannot.

    >>> is_text("smile"), is_text("\ud83d"), is_text(None)
    (True, False, False)
    """
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


__all__ = [
    "blaming",
    "blaming_exit",
    "class_place",
    "definition_of",
    "first_wrong",
    "is_number",
    "is_text",
    "owns",
    "plugin_error",
    "raised_in",
]
