"""Checks of components that wrap another one, which the test kit gives them: losses and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.check.options_rules import sample_options
from halo_core.check.rule import LIMIT, NotHereError, Rule, quiet
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
    from halo_core.testing.data.conversions import wrapping_rules
    from halo_core.testing.data.given_rows import GivenRows
    from halo_core.testing.data.mixed_rows import MixedRows

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
        taken, problem = _taken(make, kinds)
    if not taken:
        raise UserError(f"it takes no kind of feedback: {problem}")
    by_kind = {feedback: wrapping_rules(make, feedback) for feedback in taken}
    rules = []
    for rule in by_kind[taken[0]]:
        checks = {kind: of_kind[rule] for kind, of_kind in by_kind.items()}
        limit = LIMIT * (1 if rule == "kinds" else len(checks))
        rules.append(Rule(rule, _for_all_kinds(rule, checks, make), limit))
    source = make(MixedRows(feedback=taken[0]))
    return source if _reads(source) else make(GivenRows(feedback=taken[0])), rules


Check = Callable[[DataSource], None]
"""Checks a source."""


def _for_all_kinds(
    rule: str, checks: Mapping[Feedback, Check], make: Callable[[DataSource], DataSource]
) -> Check:
    """Returns a check with the rows of each kind, which is skipped if all of them are refused.

    An option may have an effect on the rows of one kind only. So advice about options counts if it
    is given for each kind.

    Args:
        rule: The name of the rule.
        checks: The check for each kind of feedback.
        make: Returns the source around another one.
    """
    from halo_core.testing.advice import advised, repeat
    from halo_core.testing.data.conversions import MAY_REFUSE
    from halo_core.testing.data.given_rows import GivenRows

    def run(_: DataSource) -> None:
        refusal: UserError | None = None
        told: list[Sequence[str]] = []
        for feedback, check in list(checks.items())[: 1 if rule == "kinds" else None]:
            try:
                with advised() as advice:
                    check(make(GivenRows(feedback=feedback)))
                told.append(list(advice))
            except UserError as error:
                if rule not in MAY_REFUSE:
                    raise
                refusal = error
        if not told and refusal is not None:
            reason = f"it refuses rows with tools, groups or no ids: {refusal.message}"
            raise NotHereError(reason) from refusal
        if rule != "other-options" or all(told):
            for text in next(filter(None, told), ()):
                repeat(text)

    return run


def _reads(source: DataSource) -> bool:
    """Returns whether a source can read the rows that it wraps."""
    try:
        with quiet():
            for split in source.inspect().splits:
                list(source.load(split).rows)
    except Exception:
        return False
    return True


def _taken(
    make: Callable[[DataSource], DataSource], kinds: Sequence[Feedback]
) -> tuple[Sequence[Feedback], str]:
    """Returns the kinds of feedback that a source reads, and the reason why it refuses another one.

    A kind that it takes and cannot read is the business of the rule `kinds`. If it can read none,
    the first one that it takes is returned, so that the other rules say what goes wrong.
    """
    from halo_core.testing.data.given_rows import GivenRows
    from halo_core.testing.data.wrapped_info import wrong_with

    read: list[Feedback] = []
    unread: list[Feedback] = []
    problem = ""
    for feedback in kinds:
        source = make(GivenRows(feedback=feedback))
        try:
            info = source.inspect()
        except UserError as error:
            problem = error.message
            continue
        except Exception:
            return [feedback], ""  # The rules say where it raises.
        (unread if wrong_with(source, info) else read).append(feedback)
    return read or unread[:1], problem
