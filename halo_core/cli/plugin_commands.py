"""Finds the commands of plugins, and a command in a file: ``file:./times.py:command``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from halo_core.errors import PluginError, UserError
from halo_core.plugins.builtin_names import RESERVED

if TYPE_CHECKING:
    from halo_core.plugins.registry import Registry

FILE = "file:"
"""Beginning of the name of a command in a file."""


def installed() -> Registry:
    """Returns the installed components."""
    from halo_core.plugins.discovery import discover

    return discover()


def is_of_author(name: str) -> bool:
    """Returns whether a command is one of a plugin of others, or in a file.

    >>> is_of_author("plan"), is_of_author("acme/times"), is_of_author("file:times.py:command")
    (False, True, True)
    """
    return "/" in name or name.startswith(FILE)


def helps_of(registry: Registry) -> dict[str, str]:
    """Returns the names of the commands of plugins, each with its line of help.

    Args:
        registry: The installed components.
    """
    commands = [r for r in registry.registrations if r.kind == "command"]
    helps = {registry.written(r): r.help for r in commands}
    for name, owner in RESERVED["command"].items():
        if owner != "halo-core":
            helps.setdefault(name, f"In {owner}: not installed, or broken (see halo plugins).")
    return dict(sorted(helps.items()))


def command_of_plugin(name: str) -> click.Command | None:
    """Imports and returns a command of a plugin; None if no command has this name.

    Args:
        name: Its name, or ``file:PATH:COMMAND``, relative to the current folder.

    Raises:
        UserError: When the name of a command in a file has another form.
        PathError: When the file does not exist, or is not a Python file.
        PluginError: When the command cannot be imported or is not a click command.
    """
    if name.startswith(FILE):
        return _in_file(name)
    registry = installed()
    if name not in helps_of(registry):
        return None
    from halo_core.plugins.registry import import_target

    registration = registry.find("command", name)
    command = import_target(registration)
    if not isinstance(command, click.Command):
        raise PluginError(
            f"{registration.distribution}: the command {name!r} is {registration.target!r}, "
            f"a {type(command).__name__}; expected a click command",
            location=registration.origin,
        )
    return command


def _in_file(name: str) -> click.Command:
    from halo_core.plugins.local_file import file_and_attribute, local_class, local_registration

    path, attribute = file_and_attribute(name)
    if not path.name or not attribute.isidentifier():
        raise UserError(
            f"got {name!r}; expected file:PATH:COMMAND, as in halo file:./times.py:command"
        )
    registration = local_registration("command", name, Path.cwd())
    command: object = local_class(registration)
    if not isinstance(command, click.Command):
        what = "class" if isinstance(command, type) else type(command).__name__
        raise PluginError(
            f"{attribute} is a {what}; expected a click command. To check a component in a file: "
            f"halo check {name}",
            location=registration.origin,
        )
    return command
