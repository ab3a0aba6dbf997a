"""Writes the files that the examples of a command name, with a function of the command's author."""

from __future__ import annotations

from pathlib import Path

import click

from halo_core.testing.component import expect, must_not_raise


def prepare(command: click.Command, folder: Path) -> None:
    """Calls the function `prepare` of a command, which writes the files that its examples name.

    Args:
        command: The command.
        folder: The current folder of the next call.

    Raises:
        AssertionError: When it is not a function of a folder, or raises.
    """
    function: object = getattr(command, "prepare", None)
    if function is None:
        return
    said = command.name or "command"
    if not callable(function):
        expect(False, said, f"its attribute `prepare` is {function!r}; expected a function")
        return
    with must_not_raise(said, "its function `prepare`"):
        function(folder)


__all__ = ["prepare"]
