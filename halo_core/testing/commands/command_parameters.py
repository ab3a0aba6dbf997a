"""Checks the arguments and options of a command, without a call."""

from __future__ import annotations

import inspect
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import click

from halo_core.testing.advice import advise
from halo_core.testing.component import expect

SWITCHES = ("--json", "--debug")
"""Switches that halo itself reads from the arguments of each command."""

EVERYWHERE = frozenset(
    "EDITOR HOME HOSTNAME LANG LOGNAME OLDPWD PATH PWD SHELL TEMP TERM TMP TMPDIR USER".split()
)
"""Environment variables that nearly every process has."""

SECRET = re.compile(r"(?i)(?:\w*_)?(?:api_?key|secret|password|passwd|passphrase)")
"""Names of options that say that their value is a secret."""

_DEFAULT = re.compile(
    r"(?i)\bdefaults?(?: value)?(?: is| to|:|=)? *(-?\d+(?:\.\d+)?)(?=\s*(?:[])};]|[.,](?:\s|$)|$))"
)
"""A default in a help text. A unit, a percent sign or a group of digits must not follow."""

_OPTIONAL = re.compile(r"(?i)\(optional\)|^optional\b")
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def check_parameters(command: click.Command, said: str) -> None:
    """Checks the arguments and options of one command.

    Args:
        command: The command.
        said: Its name, for messages.

    Raises:
        AssertionError: When two options have one name, one has a name that halo uses in another
            way, a default is not valid or cannot be switched off, the help contradicts an option,
            an option is read from a variable that every process has, a secret has a default, or the
            function does not take the values.
    """
    options = [each for each in command.params if isinstance(each, click.Option)]
    counts = Counter(flag for each in options for flag in {*each.opts, *each.secondary_opts})
    twice = [flag for flag, count in counts.items() if count > 1]
    expect(not twice, said, f"more than one of its options is called {', '.join(twice)}")
    for each in options:
        _check_names(each, said)
        _check_default_of(each, said, options)
        _check_help_of(each, said)
    _check_variables(command, said)
    _check_defaults(command, said)
    _advise_on_numbers(options, said)
    _check_function(command, said)


def check_flags_in_help(command: click.Command, said: str, known: Collection[str]) -> None:
    """Gives advice about an option in a help text that does not exist.

    Args:
        command: The command.
        said: Its name, for the message.
        known: The options of the command, and of those above and below it.
    """
    words = {*_FLAG.findall(command.help or "")} - {*known, *SWITCHES, "--help"}
    # It may speak of another command, or show code.
    if words and "`" not in (command.help or "") and "halo " not in (command.help or ""):
        advise(said, f"its help speaks of {', '.join(sorted(words))}, and it has no such option")


def _check_names(option: click.Option, said: str) -> None:
    flags = [*option.opts, *option.secondary_opts]
    shows_help = option.is_eager and option.is_flag and not option.expose_value
    taken = [flag for flag in flags if flag in ("-h", "--help") and not shows_help]
    expect(
        not taken,
        said,
        f"the option {'/'.join(option.opts)} takes the name {', '.join(taken)}, which shows the "
        "help of every command of halo; give it another one",
    )
    valued = [flag for flag in flags if flag in SWITCHES and not option.is_flag]
    expect(
        not valued,
        said,
        f"{', '.join(valued)} takes a value, but halo reads it as a switch, also before the "
        "command is called; give the option another name",
    )
    odd = [flag for flag in flags if flag.startswith("--") and re.search("[A-Z_]", flag)]
    if odd:
        advise(
            said, f"write options in small letters with hyphens, as those of halo: {', '.join(odd)}"
        )


def _check_default_of(option: click.Option, said: str, options: Sequence[click.Option]) -> None:
    name = "/".join(option.opts)
    alone = not any(each is not option and each.name == option.name for each in options)
    on = option.is_flag and option.default is True and option.flag_value is not False
    expect(
        not (on and alone) or bool(option.secondary_opts),
        said,
        f"the switch {name} is on by default, so it changes nothing, and nothing turns it off; use "
        f"default=False, or two names as in '{option.opts[-1]}/--no-{option.opts[-1].strip('-')}'",
    )
    secret = isinstance(option.default, str) and option.default and option.name
    expect(
        not (secret and SECRET.fullmatch(option.name or "")),
        said,
        f"the option {name} has a default, and its name is that of a secret, which everybody can "
        "read then; ask for an environment variable with envvar=",
    )


def _check_help_of(option: click.Option, said: str) -> None:
    """Checks that the help of an option says what is true of it."""
    name, told = "/".join(option.opts), option.help or ""
    expect(
        not (option.required and _OPTIONAL.search(told)),
        said,
        f"the option {name} is required, and its help says that it is optional: {told!r}",
    )
    number = _DEFAULT.search(told)
    real = option.default
    if number is None or isinstance(real, bool) or not isinstance(real, int | float):
        return
    expect(
        float(number.group(1)) == real,
        said,
        f"the default of {name} is {real}, and its help says {number.group(1)}: {told!r}; write "
        "show_default=True in place of the number",
    )


def _check_variables(command: click.Command, said: str) -> None:
    for each in command.params:
        names = [each.envvar] if isinstance(each.envvar, str) else list(each.envvar or ())
        common = sorted(EVERYWHERE.intersection(names))
        expect(
            not common,
            said,
            f"{'/'.join(each.opts)} is read from the variable {', '.join(common)}, which nearly "
            "every process has for another purpose; name it after your plugin",
        )


def _check_defaults(command: click.Command, said: str) -> None:
    """Checks that each default is a value that its own option takes."""
    context = click.Context(command, resilient_parsing=True)
    for each in command.params:
        default = each.get_default(context, call=False)
        unset = default is None or default is getattr(click.core, "UNSET", None)
        # A file of the user's current folder may be missing in the folder of the check.
        is_path = isinstance(each.type, click.Path | click.File)
        is_near = is_path and not os.path.isabs(str(default))
        if unset or callable(default) or each.required or is_near:
            continue
        try:
            each.type_cast_value(context, default)
        except click.BadParameter as error:
            name = "/".join(each.opts)
            expect(False, said, f"the default of {name} is not valid: {error.format_message()}")


def _advise_on_numbers(options: Sequence[click.Option], said: str) -> None:
    free = list(_without_bounds(options))
    if free:
        advise(
            said,
            f"{', '.join(free)} takes every number, also a negative one; if this has no meaning, "
            "use click.IntRange or click.FloatRange",
        )


def _without_bounds(options: Sequence[click.Option]) -> Iterator[str]:
    for each in options:
        number = type(each.type) in (type(click.INT), type(click.FLOAT))
        if number and not each.is_flag and not each.count and each.name != "seed":
            yield "/".join(each.opts)


def _check_function(command: click.Command, said: str) -> None:
    """Checks that the function takes the values. click finds this only when somebody calls it."""
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


__all__ = ["check_flags_in_help", "check_parameters"]
