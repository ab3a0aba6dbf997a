"""One rule, and how it is run: quietly, within a time limit, whatever the component raises."""

from __future__ import annotations

import contextlib
import inspect
import io
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click

from halo_core.check.findings import Finding, failed
from halo_core.check.listeners import begin
from halo_core.check.places import definition_of, is_of_the_kit, place_of
from halo_core.check.surroundings import Surroundings
from halo_core.errors import error_text
from halo_core.stop_flag import from_outside
from halo_core.testing.processes.patience import Patience
from halo_core.watched import within

LIMIT = 20.0
"""Seconds that a rule may take."""


class Rule(NamedTuple):
    """A rule.

    Attributes:
        name: Its name, which `Component.unchecked_rules` may contain.
        check: Raises an AssertionError if the component breaks it.
        limit: Seconds that it may take.
    """

    name: str
    check: Callable[[Any], None]
    limit: float = LIMIT


class NotHereError(Exception):
    """A rule that cannot be checked on this machine.

    Args:
        reason: Why.
        refused: Whether the component refuses the inputs that it got.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


TOO_LONG = "it takes longer than "
"""The beginning of the reason of a rule whose time is over."""


class TooLongError(BaseException):
    """A rule took too long. It is not an `Exception`, because a component may catch those."""


def run_rule(
    subject: str,
    rule: Rule,
    component: object,
    around: Surroundings | None = None,
    broken: str = "",
) -> Finding:
    """Returns the finding of one rule. The output of the component is dropped.

    An exception of any kind is a finding: a component must not end the check of the others.

    Args:
        subject: The kind and name of the component.
        rule: The rule.
        component: The component.
        around: Notes what it prints and which files it leaves.
        broken: A rule that the component broke before, if there is one. An error of the kit itself
            then probably follows from it, as if a loss returns None.
    """
    from halo_core.testing.advice import advised

    of = defined(component)
    if not begin(rule.name, rule.limit, definition_of(of)):
        return Finding(subject, rule.name, "pass")
    watched = around.watched(rule.name) if around is not None else quiet()
    try:
        doing = f"the rule {rule.name!r} for {subject}"
        with within(doing), watched, advised() as advice, _limited(rule.limit):
            rule.check(component)
    except NotHereError as error:
        return Finding(subject, rule.name, "skip", str(error), refused=error.refused)
    except TooLongError as error:
        late = AssertionError(str(error))
        late.__cause__ = error  # It knows the line at which the time was over.
        return failed(subject, rule.name, late, of)
    except BaseException as error:
        if from_outside(error):
            raise
        if broken and is_of_the_kit(of, error):
            reason = f"not checked, because {broken!r} is broken: {error_text(error)}"
            return Finding(subject, rule.name, "skip", reason)
        return failed(subject, rule.name, error, of)
    if advice:
        told = "; ".join(advice)
        return Finding(subject, rule.name, "warn", told, place_of(of, rule.name, told))
    return Finding(subject, rule.name, "pass")


def is_late(finding: Finding) -> bool:
    """Returns whether the time of a rule was over. The next rules would probably wait, too."""
    return finding.state == "fail" and finding.reason.startswith(TOO_LONG)


def defined(component: object) -> object:
    """Returns the definition of a component: its class, or the function of a command."""
    if isinstance(component, click.Command) and component.callback is not None:
        return inspect.unwrap(component.callback)
    return component if isinstance(component, type) else type(component)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises a `TooLongError` in a block that takes too long, if the system has a timer.

    The time in which other programs have the processors does not count.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    patience = Patience(seconds)

    def too_long(*_: object) -> None:
        if (left := patience.left()) > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        raise TooLongError(f"{TOO_LONG}{seconds:.3g} s; expected less")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what a component prints, which would be in the middle of the table or the JSON."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
