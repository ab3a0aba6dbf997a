"""Checks the promises of a command: light to import, with help, and sound when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click
from click.testing import CliRunner

from halo_core.errors import HaloError
from halo_core.testing.advice import advise
from halo_core.testing.commands.command_calls import CALL_CHECKS
from halo_core.testing.commands.command_outcomes import NotCalledError
from halo_core.testing.commands.command_parameters import check_flags_in_help, check_parameters
from halo_core.testing.component import check_import_budget, expect
from halo_core.testing.processes.busy_machine import own_time

NARROW = 40
"""Width of a narrow terminal, in letters."""

HELP_S = 2.0
"""Seconds that a help text may take, without the wait for a processor."""


def check_command(command: click.Command) -> None:
    """Checks the help and the parameters of a command and of its subcommands, and calls them.

    The calls are the `examples` of the command, or those that the kit can make itself: it knows
    values of words from a list, of numbers, and of the folder of a run. They are made in a process
    of their own, in an empty folder.

    Args:
        command: A command as a plugin registers it.

    Raises:
        AssertionError: When importing its module imports a heavy library, ``--help`` raises, prints
            nothing or ends with another exit code than 0, an option has no help, or `check_usage`
            finds a fault; or when a call breaks a rule of its body.
    """
    left_out = unchecked_rules_of(command)
    for name, check in (COMMAND_CHECKS | CALL_CHECKS).items():
        if name not in left_out:
            try:
                check(command)
            except NotCalledError as reason:
                advise(command.name, f"the rule {name!r} was not checked: {reason}")


def check_help(command: click.Command) -> None:
    """Checks that ``--help`` of a command and of its subcommands works and says something.

    Raises:
        AssertionError: When it does not, also in a narrow terminal, takes longer than `HELP_S`, or
            an option or a command has no help.
    """
    for path, each in _tree(command):
        said = " ".join([*path, "--help"])
        begun = own_time()
        _check_shown(command, path, said)
        took = own_time() - begun
        expect(took <= HELP_S, said, f"it takes {took:.1f} s; expected less than {HELP_S:g} s")
        _check_shown(command, path, f"{said} in a narrow terminal", terminal_width=NARROW)
        expect(bool(each.help and each.help.strip()), said, "it says nothing; write a docstring")
        for option in each.params:
            silent = isinstance(option, click.Option) and not option.hidden and not option.help
            expect(not silent, said, f"the option {'/'.join(option.opts)} has no help; write help=")


def _check_shown(command: click.Command, path: list[str], said: str, **settings: Any) -> None:
    result = CliRunner().invoke(command, [*path[1:], "--help"], **settings)
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        told = error.message if isinstance(error, HaloError) else repr(error)
        raise AssertionError(f"{said} raised {told}") from error
    expect(result.exit_code == 0, said, f"it ends with exit code {result.exit_code}; not 0")


def check_usage(command: click.Command) -> None:
    """Checks that a command and its subcommands do something, and refuse unknown options.

    Raises:
        AssertionError: When one does nothing, `check_parameters` finds a fault, or an unknown
            option or a further argument is taken.
    """
    tree = list(_tree(command))
    known = {flag for _, each in tree for p in each.params for flag in (*p.opts, *p.secondary_opts)}
    for path, each in tree:
        said = " ".join(path)
        group = isinstance(each, click.Group)
        expect(group or each.callback is not None, said, "it does nothing: it has no function")
        check_parameters(each, said)
        check_flags_in_help(each, said, known)
        context = each.make_context(said, [], resilient_parsing=True)
        if isinstance(each, click.Group):
            expect(
                bool(each.list_commands(context)) or each.invoke_without_command,
                said,
                "it is a group without commands, so it does nothing",
            )
        expect(
            not context.ignore_unknown_options,
            said,
            "it takes unknown options, so a misspelt one has no effect; remove "
            "ignore_unknown_options, or leave out this rule",
        )
        expect(
            group or not context.allow_extra_args,
            said,
            "it takes more arguments than it declares, which have no effect; remove "
            "allow_extra_args, or leave out this rule",
        )


def check_command_imports(command: click.Command) -> None:
    """Checks in a fresh interpreter that a command's module imports nothing heavy.

    Raises:
        AssertionError: When it does, or cannot be imported.
    """
    if command.callback is not None:
        check_import_budget(inspect.unwrap(command.callback))


COMMAND_CHECKS = {
    "help": check_help,
    "usage": check_usage,
    "imports": check_command_imports,
}
"""The checks of the help and the parameters by the names of their rules."""


def unchecked_rules_of(command: click.Command) -> dict[str, str]:
    """Returns the attribute `unchecked_rules` of a command: the reason for each rule left out."""
    return dict(getattr(command, "unchecked_rules", {}))


def _tree(command: click.Command) -> Iterator[tuple[list[str], click.Command]]:
    """Yields a command and its subcommands, each with its path."""

    def below(path: list[str], each: click.Command) -> Iterator[tuple[list[str], click.Command]]:
        yield path, each
        if isinstance(each, click.Group):
            context = click.Context(each)
            for name in each.list_commands(context):
                inner = each.get_command(context, name)
                expect(
                    inner is not None, " ".join(path), f"it lists {name!r}, which does not exist"
                )
                if inner is not None:
                    yield from below([*path, name], inner)

    return below([command.name or "command"], command)


__all__ = ["check_command"]
