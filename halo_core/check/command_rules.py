"""The rules for a command, and how its author leaves one out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from halo_core.check.rule import Rule


def command_rules() -> Sequence[Rule]:
    """Returns the rules for a command."""
    from halo_core.testing.commands import COMMAND_CHECKS

    return [Rule(name, check) for name, check in COMMAND_CHECKS.items()]


def unchecked_rules_of(command: click.Command) -> Mapping[str, str]:
    """Returns the rules that a command leaves out, with the reasons.

    A command is not a class of halo, so it has them as an attribute: ``command.unchecked_rules``.
    """
    from halo_core.testing.commands import unchecked_rules_of

    return unchecked_rules_of(command)
