"""Checks of components that wrap another one, which the test kit gives them: losses and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.check.options_rules import sample_options
from halo_core.check.rule import NotHereError, Rule, quiet
from halo_core.data import DataSource
from halo_core.errors import UserError
from halo_core.feedback import COLUMNS, Feedback
from halo_core.loss_wrapper import LossWrapper
from halo_core.plugins.registrar import Registration

LISTS = (list[DataSource], tuple[DataSource, ...])
"""Types of an option that holds several sources. The kit gives one."""


def wrapper_rule(cls: type[LossWrapper], options: Mapping[str, Any]) -> Rule:
    """Returns the rule of a class of losses around losses of all sorts.

    Args:
        cls: The class of the wrapper.
        options: Options of the wrapper, without the loss.
    """
    from halo_core.testing.losses.loss_wrappers import check_loss_wrapper

    chosen = sample_options(cls) | dict(options)

    def check(wrapper: Any) -> None:
        check_loss_wrapper(lambda loss: wrapper(loss=loss, **chosen))

    return Rule("wraps-losses", check)


def wrapped_rules() -> list[str]:
    """Returns the names of the rules that `wrapper_rule` checks around each loss."""
    from halo_core.testing.component import COMPONENT_CHECKS, rule_name
    from halo_core.testing.losses.rules import LOSS_CHECKS

    return [rule_name(check) for check in (*COMPONENT_CHECKS, *LOSS_CHECKS)]


def wrapped_option(cls: type[DataSource]) -> str:
    """Returns the name of the only option that is a source, or a list of them, without a default.

    Args:
        cls: The class of a data source.

    Returns:
        "" if there is none, or if there are several.
    """
    names = [
        field.alias or name
        for name, field in cls.model_fields.items()
        if field.annotation in (DataSource, *LISTS) and field.is_required()
    ]
    return names[0] if len(names) == 1 else ""


def around_given(
    registration: Registration, cls: type[DataSource], options: Mapping[str, Any]
) -> tuple[DataSource, Sequence[Rule]]:
    """Returns a source around the kit's rows, and the rules of sources that wrap another one.

    Args:
        registration: The registration of the class.
        cls: The class of a data source with a `wrapped_option`.
        options: Its other options.

    Raises:
        ValidationError: When the options are not enough, or not valid.
        UserError: When it takes no kind of feedback.
    """
    from halo_core.testing.data.conversions import MAY_REFUSE, wrapping_rules
    from halo_core.testing.data.given_rows import GivenRows

    name = wrapped_option(cls)
    several = any(
        (f.alias or n) == name and f.annotation in LISTS for n, f in cls.model_fields.items()
    )

    def make(source: DataSource) -> DataSource:
        return cls.model_validate({**options, name: [source] if several else source})

    kinds: Sequence[Feedback] = tuple(COLUMNS)
    if registration.converts is not None:
        kinds = registration.converts[:1]
    with quiet():
        feedback, problem = _taken(make, kinds)
    if feedback is None:
        raise UserError(f"it takes no kind of feedback: {problem}")
    checks = wrapping_rules(make, feedback)
    for rule in MAY_REFUSE:
        checks[rule] = _unless_refused(checks[rule])
    source = make(GivenRows(feedback=feedback))
    return source, [Rule(rule, check) for rule, check in checks.items()]


def _taken(
    make: Callable[[DataSource], DataSource], kinds: Sequence[Feedback]
) -> tuple[Feedback | None, str]:
    """Returns the first kind of feedback that a source reads, or the reason why it refuses all.

    A kind that it takes and cannot read is the business of the rule `kinds`. If it can read none,
    the first one that it takes is returned, so that the other rules say what goes wrong.
    """
    from halo_core.testing.data.given_rows import GivenRows
    from halo_core.testing.data.wrapped_info import wrong_with

    unread: Feedback | None = None
    problem = ""
    for feedback in kinds:
        source = make(GivenRows(feedback=feedback))
        try:
            info = source.inspect()
        except UserError as error:
            problem = error.message
            continue
        except Exception:
            return feedback, ""  # The rules say where it raises.
        if not wrong_with(source, info):
            return feedback, ""
        unread = unread or feedback
    return unread, problem


def _unless_refused(check: Callable[[DataSource], None]) -> Callable[[DataSource], None]:
    """Returns a check that is skipped if the source refuses the rows."""

    def run(source: DataSource) -> None:
        try:
            check(source)
        except UserError as error:
            reason = f"it refuses rows with tools, groups or no ids: {error.message}"
            raise NotHereError(reason) from error

    return run
