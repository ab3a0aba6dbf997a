"""Attributes errors to the right plugin: what its code raised or returned, and where in its files.

The core calls every method of a component through `blaming`. An unexpected error becomes a
`PluginError` that names the component, its distribution and a line of *its* source. An error that
is raised on purpose (any `HaloError`) is passed on.
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
from halo_core.errors import HaloError, PluginError, error_text
from halo_core.forked import no_second_process
from halo_core.stop_flag import from_outside
from halo_core.watched import within

FILE_PREFIX = "file:"


@contextmanager
def blaming(component: Component, call: str) -> Iterator[None]:
    """Turns an unexpected error of a component's method into an error that names its plugin.

    Args:
        component: The component whose method is called in the `with` statement.
        call: The call, for the message: ``load('train')``. Missing parentheses are added.

    Raises:
        PluginError: In place of any exception that is not a `HaloError`, also of `SystemExit`: a
            plugin that calls ``sys.exit(0)`` must not end halo as if everything had succeeded.
            An interrupt of a signal is raised again.
    """
    called = f"{component.spec_name}.{call.partition('(')[0]}()"
    try:
        with no_second_process(called), within(called):
            yield
    except HaloError:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        raise _raised(component, call, error) from error


@contextmanager
def blaming_exit(component: Component, call: str) -> Iterator[None]:
    """Works as `blaming`, but raises every `Exception` again, where these are tolerated.

    Raises:
        PluginError: In place of `SystemExit`, and of a KeyboardInterrupt that no signal caused.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        raise _raised(component, call, error) from error


def _raised(component: Component, call: str, error: BaseException) -> PluginError:
    what = f"raised {error_text(error)}"
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
        component: The component to blame.
        call: The method, as for `blaming`.
        what: The mistake: ``returned None; expected a LossOutput``.
        trace: The traceback of its error. The place is the innermost line of the plugin's files.
        function: The called function, if it is not a method of the component but of an object
            that it opened.
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
    """Returns ``file:line`` of the innermost frame in a component's files, or None."""
    for frame in reversed(traceback.extract_tb(trace)):
        if owns(component, frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return None


def owns(component: Component, file: str) -> bool:
    """Returns whether a source file belongs to a component: to its class's package or file."""
    # Both packages own their files, because a package may register a class of another package.
    if component.spec_origin is not None:
        target = component.spec_origin.target
        if target.startswith(FILE_PREFIX):
            return file == component.spec_origin.file
        if _is_in(file, target.partition(":")[0]):
            return True
    return _is_in(file, type(component).__module__)


def _is_in(file: str, module: str) -> bool:
    """Returns whether a file belongs to the top-level package of a module."""
    top = sys.modules.get(module.partition(".")[0])
    if top is None:
        return False
    folders = [os.path.join(folder, "") for folder in getattr(top, "__path__", ())]
    return file == getattr(top, "__file__", None) or file.startswith(tuple(folders))


def definition_of(
    component: Component, method: str, function: Callable[..., object] | None = None
) -> str:
    """Returns ``file:line`` of a method's definition in a component's class, or else of the class.

    If the method is inherited from the core, the place is the class, because the method is not the
    plugin's.

    Args:
        component: The component whose files are searched.
        method: The name of the method.
        function: The method itself, if it belongs to an object that the component opened.
    """
    # `blaming` replaces a missing method. No plugin owns it, so the class is blamed.
    called: Any = getattr(type(component), method, blaming) if function is None else function
    code = getattr(inspect.unwrap(called), "__code__", None)
    if isinstance(code, CodeType) and owns(component, code.co_filename):
        return f"{code.co_filename}:{code.co_firstlineno}"
    return class_place(type(component))


def class_place(cls: type) -> str:
    """Returns ``file:line`` of a class's definition, or its dotted name if there is no source."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def first_wrong(given: object, right: Mapping[str, bool]) -> str | None:
    """Returns the first invalid value of an object, for a message; None if all are valid.

    Args:
        given: The object from a plugin.
        right: Whether the value of each attribute is valid, by the attribute's name.
    """
    wrong = [name for name, holds in right.items() if not holds]
    return f"the {wrong[0]} {getattr(given, wrong[0])!r}" if wrong else None


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value is a finite Python number. Booleans are not numbers.

    A whole number that is too large for a float does not count either, because it cannot be
    printed.

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
    r"""Returns whether a value is printable text, which half of a surrogate pair is not.

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
