"""Uses a component with other legal values of its options, which must work or be refused clearly.

A spec may give each value that the bounds allow. If the component then breaks in the middle of a
run, the user sees a mistake of the plugin. So an error of the user (`halo_core.UserError`) is
right, and any other error breaks the rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from halo_core.component import Component
from halo_core.errors import HaloError, PluginError, error_text
from halo_core.testing.advice import advised
from halo_core.testing.options.option_effects import near_variants
from halo_core.testing.processes.effects import effects

ComponentT = TypeVar("ComponentT", bound=Component)

SECONDS = 3.0
"""Seconds after which no other values are tried."""

SLOW_S = 1.5
"""Seconds of one use above which no other values are tried."""


class NotTriedError(Exception):
    """No other values were tried. The text says why."""


def check_other_values(
    component: ComponentT, use: Callable[[ComponentT], object], doing: str
) -> bool:
    """Uses a component with another value of each option.

    Args:
        component: The component, which works with its own values.
        use: Uses it.
        doing: Words for this use, for the message.

    Returns:
        Whether all values were tried within `SECONDS`.

    Raises:
        AssertionError: When a use raises anything but an error of halo.
        NotTriedError: When one use takes longer than `SLOW_S`.
    """
    with effects(starts=True, imports=True):  # It sets back what the component changes.
        return _used(component, use, doing)


def _used(component: ComponentT, use: Callable[[ComponentT], object], doing: str) -> bool:
    begun = time.monotonic()
    try:
        use(component)
    except Exception:
        return False  # A rule of its own reports this.
    if time.monotonic() - begun > SLOW_S:
        raise NotTriedError(
            f"{doing} takes more than {SLOW_S:g} s here, and each value of an option would take "
            "as long"
        )
    for alias, value, other in near_variants(component):
        if time.monotonic() - begun > SECONDS:
            return False
        try:
            with advised():  # Advice is about the usual values.
                use(other)
        except Exception as error:
            if _is_refusal(error):
                continue
            raise AssertionError(
                f"{component!r}: with {alias}={value!r}, {doing} raised {_text(error)}; expected "
                "it to work, bounds that exclude this value, or an error of halo such as "
                "halo_core.UserError"
            ) from error
    return True


@contextmanager
def or_refused() -> Iterator[None]:
    """Lets a rule of a block pass if the component refuses its option with an error of halo.

    Raises:
        AssertionError: When the block raises one for another reason.
    """
    try:
        yield
    except (AssertionError, HaloError) as error:
        if not _is_refusal(error):
            raise


def _is_refusal(error: Exception) -> bool:
    cause = _cause(error)
    return isinstance(cause, HaloError) and not isinstance(cause, PluginError)


def _cause(error: Exception) -> BaseException:
    """Returns the error of the component inside one of the test kit."""
    own = isinstance(error, AssertionError | PluginError)
    return error.__cause__ if own and error.__cause__ is not None else error


def _text(error: Exception) -> str:
    cause = _cause(error)
    return cause.message if isinstance(cause, PluginError) else error_text(cause)


__all__ = ["NotTriedError", "check_other_values", "or_refused"]
