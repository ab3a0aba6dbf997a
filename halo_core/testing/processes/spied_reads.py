"""Notes which environment variables a component reads, and which files of the current folder."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from halo_core.component import Component
from halo_core.testing.processes.effects import importing

LOOKS = ("open", "os.listdir", "os.scandir")
"""Audit events of a look at a file or folder, whose first argument is its path."""

_STANDARD = (f"{sysconfig.get_path('stdlib')}{os.sep}", "<")
_SITES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))


class Reads:
    """The reads of a block, each with the file of the code that made it."""

    def __init__(self) -> None:
        self._here = os.path.realpath(os.getcwd())
        self._variables: dict[tuple[str, str], None] = {}
        self._files: dict[tuple[str, str], None] = {}
        self.active = True

    def variables_of(self, modules: Sequence[ModuleType]) -> list[str]:
        """Returns the environment variables that these modules read."""
        files = {getattr(module, "__file__", None) for module in modules}
        return list(dict.fromkeys(name for by, name in self._variables if by in files))

    def files_of(self, modules: Sequence[ModuleType], component: Component) -> list[str]:
        """Returns the files of the current folder at which these modules looked.

        Files that an option of the component names are left out.
        """
        files = {getattr(module, "__file__", None) for module in modules}
        named = tuple(map(_place, _texts(component.model_dump(mode="json"))))
        found = dict.fromkeys(path for by, path in self._files if by in files)
        return [os.path.relpath(path, self._here) for path in found if not path.startswith(named)]

    def variable(self, name: object) -> None:
        """Notes that a variable is read."""
        if isinstance(name, str):
            self._variables[_reader(), name] = None

    def look(self, path: object) -> None:
        """Notes a look at a path, if it is in the current folder."""
        if not self.active or not isinstance(path, str | bytes | os.PathLike):
            return
        whole = os.path.normpath(os.path.join(self._here, os.fsdecode(path)))
        if whole.startswith(f"{self._here}{os.sep}") and not importing():
            self._files[_reader(), whole] = None


def _reader() -> str:
    """Returns the file of the nearest code that is not of the standard library."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        standard = file.startswith(_STANDARD) and not file.startswith(_SITES)
        if not standard and file != __file__:
            return file
        frame = frame.f_back
    return ""


def _place(text: str) -> str:
    """Returns the whole path that a text names; the text if no file has such a name here.

    With an encoding that has only ASCII, no path has other letters, but a text may have them.
    """
    try:
        return os.path.realpath(text)
    except ValueError:
        return text


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts among options, at any depth."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


@contextmanager
def spied_reads() -> Iterator[Reads]:
    """Yields the reads of the block. It is meant for a process of its own: a hook stays."""
    reads = Reads()
    variables: Any = type(os.environ)
    get_item: Callable[[Any, str], str] = variables.__getitem__
    stat: Any = os.stat

    def noted_item(environment: Any, name: str) -> str:
        reads.variable(name)
        return get_item(environment, name)

    def noted_stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        reads.look(path)
        result: os.stat_result = stat(path, *arguments, **options)
        return result

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in LOOKS:
            reads.look(arguments[0])

    sys.addaudithook(hook)
    variables.__getitem__ = noted_item
    os.stat = noted_stat
    try:
        yield reads
    finally:
        variables.__getitem__ = get_item
        os.stat = stat
        reads.active = False


__all__ = ["Reads", "spied_reads"]
