"""The rules for a command: its help, its options, and the calls of its body."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from halo_core.check.rule import NotHereError, Rule

CALLS_S = 60.0
"""Limit of each rule that calls the command, which several processes do."""


def command_rules() -> Sequence[Rule]:
    """Returns the rules for a command."""
    from halo_core.testing.commands.command_calls import CALL_CHECKS
    from halo_core.testing.commands.rules import COMMAND_CHECKS

    called = [Rule(name, _or_not_here(name, check), CALLS_S) for name, check in CALL_CHECKS.items()]
    return [*(Rule(name, check) for name, check in COMMAND_CHECKS.items()), *called]


def _or_not_here(
    name: str, check: Callable[[click.Command], None]
) -> Callable[[click.Command], None]:
    def checked(command: click.Command) -> None:
        from halo_core.testing.commands.command_calls import CALL_CHECKS
        from halo_core.testing.commands.command_outcomes import NotCalledError

        try:
            check(command)
        except NotCalledError as reason:
            told = str(reason)
            if name != next(iter(CALL_CHECKS)):
                told = f"the command is not called; see the rule {next(iter(CALL_CHECKS))!r}"
            raise NotHereError(told) from reason

    return checked
