"""Imports in this process what calls of a command import, so that later calls need not.

Each call is a fork of this process. A library such as matplotlib takes longer than all else.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import click

NAME = "imports"
"""The name of the file with the modules that a call has imported."""


def note_imports(folder: Path, before: Collection[str]) -> None:
    """Writes the names of the modules that this process has imported.

    Args:
        folder: The folder for the file.
        before: The modules that its parent has.
    """
    names = [name for name in [*sys.modules] if name not in before]
    (folder / NAME).write_text(json.dumps(names), "utf-8")


def share_imports(command: click.Command, folder: Path) -> None:
    """Imports the libraries that a call has imported.

    The command's own modules are left out: each call imports them itself, as its own process would.

    Args:
        command: The command, with all its subcommands.
        folder: The folder of the file. It may have none, if the call did not end by itself.
    """
    names: list[str] = []
    with suppress(OSError, ValueError):
        names = json.loads((folder / NAME).read_text("utf-8"))
    own = {_root(each) for each in _modules(command)}
    folders = [
        Path(file).parent
        for each in _modules(command)
        if (file := getattr(sys.modules.get(each), "__file__", None)) and "." not in each
    ]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for name in names:
            if _root(name) in own or name in sys.modules or _is_below(name, folders):
                continue
            with suppress(Exception):  # The call may have changed the path, or made the module.
                importlib.import_module(name)


def _modules(command: click.Command) -> Iterator[str]:
    """Yields the names of the modules of a command and its subcommands."""
    if command.callback is not None:
        yield command.callback.__module__
    for each in getattr(command, "commands", {}).values():
        yield from _modules(each)


def _is_below(name: str, folders: Collection[Path]) -> bool:
    """Returns whether a module is a file next to a command that is a single file."""
    return any((folder / f"{_root(name)}.py").is_file() for folder in folders) or any(
        (folder / _root(name)).is_dir() for folder in folders
    )


def _root(name: str) -> str:
    return name.partition(".")[0]


__all__ = ["note_imports", "share_imports"]
