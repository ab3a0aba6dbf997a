"""The result of each rule, and the place in the author's code that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halo_core.check.places import place_of
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
        refused: Whether a rule is skipped because the component refuses the inputs that it got.
            ``--strict`` counts this, because nothing was checked.
    """

    subject: str
    rule: str
    state: State
    reason: str = ""
    place: str = ""
    refused: bool = False


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
    if isinstance(error, HaloError):
        place = error.location or place_of(of, rule, error.message, cause)
        return Finding(subject, rule, "fail", error.message, place)
    text = str(error) if isinstance(error, AssertionError) and str(error) else error_text(error)
    return Finding(subject, rule, "fail", text, place_of(of, rule, text, cause))
