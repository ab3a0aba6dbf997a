"""Checks the promises of a command: light to import, with help, and sound when it is called."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator

import click
from click.testing import CliRunner

from halo_core.errors import HaloError
from halo_core.testing.advice import advise
from halo_core.testing.commands.command_calls import CALL_CHECKS
from halo_core.testing.commands.command_outcomes import NotCalledError
from halo_core.testing.component import check_import_budget, expect


def check_command(command: click.Command) -> None:
    """Checks the help and the parameters of a command and of its subcommands, and calls them.

    The calls are the `examples` of the command, or those that the kit can make itself: it knows
    values of words from a list, of numbers, and of the folder of a run. They are made in a process
    of their own, in an empty folder.

    Args:
        command: A command as a plugin registers it.

    Raises:
        AssertionError: When importing its module imports a heavy library, ``--help`` raises, prints
            nothing or ends with another exit code than 0, an option has no help, a command does
            nothing, or an unknown option is taken; or when a call breaks a rule of its body.
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
        AssertionError: When it does not, or an option or a command has no help.
    """
    for path, each in _tree(command):
        arguments = [*path[1:], "--help"]
        result = CliRunner().invoke(command, arguments)
        said = " ".join([*path, "--help"])
        error = result.exception
        if error is not None and not isinstance(error, SystemExit):
            told = error.message if isinstance(error, HaloError) else repr(error)
            raise AssertionError(f"{said} raised {told}") from error
        expect(result.exit_code == 0, said, f"it ends with exit code {result.exit_code}; not 0")
        expect(bool(each.help and each.help.strip()), said, "it says nothing; write a docstring")
        for option in each.params:
            silent = isinstance(option, click.Option) and not option.hidden and not option.help
            expect(not silent, said, f"the option {'/'.join(option.opts)} has no help; write help=")


def check_usage(command: click.Command) -> None:
    """Checks that a command and its subcommands do something, and refuse unknown options.

    Raises:
        AssertionError: When one does nothing, its function does not take the values of its options,
            two options have one name, or an unknown option is taken.
    """
    for path, each in _tree(command):
        said = " ".join(path)
        group = isinstance(each, click.Group)
        expect(group or each.callback is not None, said, "it does nothing: it has no function")
        _check_parameters(each, said)
        expect(
            not each.make_context(said, [], resilient_parsing=True).ignore_unknown_options,
            said,
            "it takes unknown options, so a misspelt one has no effect; remove "
            "ignore_unknown_options, or leave out this rule",
        )


def _check_parameters(command: click.Command, said: str) -> None:
    """Checks that a command's function takes the values of its options, and no option comes twice.

    click finds either only when somebody uses the command.
    """
    flags = Counter(
        flag
        for each in command.params
        if isinstance(each, click.Option)
        for flag in {*each.opts, *each.secondary_opts}
    )
    twice = [flag for flag, count in flags.items() if count > 1]
    expect(not twice, said, f"more than one of its options is called {', '.join(twice)}")
    _check_defaults(command, said)
    if command.callback is None:
        return
    given = {each.name: None for each in command.params if each.expose_value and each.name}
    try:
        inspect.signature(command.callback, follow_wrapped=False).bind(**given)
    except TypeError as error:
        expect(
            False,
            said,
            f"its function cannot be called with the values of its options "
            f"({', '.join(given) or 'none'}): {error}",
        )


def _check_defaults(command: click.Command, said: str) -> None:
    """Checks that each default is a value that its own option takes."""
    context = click.Context(command, resilient_parsing=True)
    for each in command.params:
        default = each.get_default(context, call=False)
        unset = default is None or default is getattr(click.core, "UNSET", None)
        if unset or callable(default) or each.required:
            continue
        try:
            each.type_cast_value(context, default)
        except click.BadParameter as error:
            name = "/".join(each.opts)
            expect(False, said, f"the default of {name} is not valid: {error.format_message()}")


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
