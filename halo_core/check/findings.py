"""The result of each rule, and the place in the author's code that it is about."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from halo_core.errors import HaloError, error_text
from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.plugins.registrar import Registration, words

State = Literal["pass", "fail", "warn", "skip"]


@dataclass(frozen=True)
class Finding:
    """The result of a rule.

    Attributes:
        subject: The kind and name of a component, such as ``loss exo/value``, or a distribution.
        rule: The rule.
        state: ``pass``; ``fail``; ``warn`` for advice that is not a rule yet; ``skip`` if the rule
            could not be checked, or does not hold on purpose.
        reason: Why it is not ``pass``; empty if it is.
        place: ``file:line`` of the code that the reason is about; empty if it is unknown.
    """

    subject: str
    rule: str
    state: State
    reason: str = ""
    place: str = ""


def subject_of(registration: Registration) -> str:
    """Returns the kind and the name of a component, as findings name it."""
    in_file = registration.target.startswith(FILE_PREFIX)
    name = registration.target if in_file else registration.canonical
    return f"{words(registration.kind)} {name}"


def failed(subject: str, rule: str, error: BaseException, of: object) -> Finding:
    """Returns the finding of a rule that an exception says is broken.

    Args:
        subject: The component or distribution.
        rule: The rule.
        error: The exception.
        of: The class that is checked, whose definition is the place if the exception has none.
    """
    # The kit's own errors are about the class. An exception of the component knows its line.
    cause = error.__cause__ if isinstance(error, AssertionError) else error
    place = line_in_file_of(of, cause) or definition_of(of)
    if isinstance(error, HaloError):
        return Finding(subject, rule, "fail", error.message, error.location or place)
    text = str(error) if isinstance(error, AssertionError) and str(error) else error_text(error)
    return Finding(subject, rule, "fail", text, place)


def line_in_file_of(thing: object, error: BaseException | None) -> str:
    """Returns ``file:line`` of the innermost frame of an error that is in the file of a class.

    Args:
        thing: A class or function.
        error: The error.

    Returns:
        "" if there is no such frame.
    """
    file = definition_of(thing).rpartition(":")[0]
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    lines = [frame.lineno for frame in frames if file and frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else ""


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
