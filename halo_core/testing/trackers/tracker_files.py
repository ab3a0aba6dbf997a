"""Reads what a tracker wrote into a workspace, so that it can be compared."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import sysconfig
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from halo_core.component import Component
from halo_core.hashing import file_hash
from halo_core.testing.processes import effects
from halo_core.testing.processes.effects import watching

LARGEST = 1_000_000
"""Size in bytes of a file above which it is not compared."""

DRAFTS = (".tmp", ".temp", ".part", ".partial", ".draft")
"""Ends of the names of files that are written before they get their own name."""

_SQLITE = b"SQLite format 3\0"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_OPEN = Path("/proc/self/fd")
_KIT = "halo_core.testing."
_STANDARD = (sysconfig.get_path("stdlib"), "<frozen", effects.__file__)
"""Beginnings of the files of code through which other code opens files."""

Written = Mapping[str, bytes]
"""The content of files by their names in the workspace."""


def texts_in(
    workspace: Path, without: Path | None = None, own: Container[str] = ()
) -> Mapping[str, str]:
    """Returns the small text files of a workspace, without logs and the folders of the runs.

    A log says what a library did, and so it says twice what was done twice.

    Args:
        workspace: The workspace.
        without: A further folder that is left out.
        own: Files that the tracker itself opened. The numbers of rows in the tables of its SQLite
            databases, and the floats and times in them, are among the texts.
    """
    found = {}
    for path in sorted(workspace.rglob("*")):
        inner = path.relative_to(workspace)
        left_out = without is not None and path.is_relative_to(without)
        is_own = os.path.realpath(path) in own
        if inner.parts[0] == "runs" or path.suffix == ".log" or left_out:
            continue
        # It is a database, whose content nobody can compare, or another thread removes it.
        with suppress(UnicodeDecodeError, OSError):
            if path.is_file() and path.stat().st_size <= LARGEST:
                found[str(inner)] = (is_own and _rows_of(path)) or path.read_text("utf-8")
    return found


def files_in(root: Path, before: Collection[Path]) -> Written:
    """Returns the content of the small files of a workspace, without logs.

    The folder of the workspace in them is replaced, so that two workspaces can be compared. The
    content of an SQLite database is its dump, because its bytes have counters that differ.

    Args:
        root: The workspace.
        before: Files that are left out.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        if path in before or path.suffix == ".log" or not path.is_file():
            continue
        with suppress(FileNotFoundError):  # A database removes its journal.
            if path.stat().st_size <= LARGEST:
                content = _content(path).replace(bytes(root), b"workspace")
                found[str(path.relative_to(root))] = content
    return found


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(_SQLITE):
        return content
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return "\n".join(database.iterdump()).encode()
    except sqlite3.Error:  # Another connection writes, or a table needs an extension.
        return content


def _rows_of(path: Path) -> str:
    """Returns the number of rows of each table of an SQLite database, and the floats and times.

    It returns "" of another file. Ids and other texts are left out: some differ each time.
    """
    if not path.read_bytes().startswith(_SQLITE):
        return ""
    address = f"{path.as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as base:
        tables = base.execute("select name from sqlite_master where type = 'table' order by name")
        names = [name.replace('"', '""') for (name,) in tables.fetchall()]
        rows = {name: base.execute(f'select * from "{name}"').fetchall() for name in names}
        return repr({name: (len(each), sorted(map(_timed, each))) for name, each in rows.items()})
    return ""


def _timed(row: Sequence[Any]) -> str:
    return repr([v for v in row if isinstance(v, float) or (isinstance(v, str) and _TIME.match(v))])


def hashes_of_run(run: Path) -> dict[str, str]:
    """Returns the hash of each file directly in the folder of a run, by its name."""
    return {path.name: file_hash(path) for path in run.iterdir() if path.is_file()}


def changed_in(run: Path, before: Mapping[str, str]) -> list[str]:
    """Returns the names of files of a run that were changed or removed.

    Args:
        run: The folder of the run.
        before: Their hashes; see `hashes_of_run`.
    """
    now = hashes_of_run(run) if run.is_dir() else {}
    return sorted(name for name, digest in before.items() if now.get(name) != digest)


def drafts_in(root: Path) -> list[str]:
    """Returns the files below a folder whose names are those of drafts."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.suffix in DRAFTS)


def open_below(root: Path, some: Container[str]) -> list[str]:
    """Returns those of some files below a folder that this process has open, on Linux.

    Args:
        root: The folder, without symbolic links in its path.
        some: The whole names of the files.
    """
    found = []
    if _OPEN.is_dir():
        for number in os.listdir(_OPEN):
            with suppress(OSError):  # The one that listed them is closed again.
                path = Path(os.readlink(_OPEN / number))
                if str(path) in some and path.is_relative_to(root):
                    found.append(str(path.relative_to(root)))
    return sorted(set(found))


class Opened:
    """The files that code of a component's own package opened, and nobody else.

    A library may keep a connection for the next session. A file that both opened is left out,
    because it is not known whose is still open.

    Args:
        component: The component.
    """

    def __init__(self, component: Component) -> None:
        self._package = type(component).__module__.partition(".")[0]
        self._own: set[str] = set()
        self._others: set[str] = set()

    def __contains__(self, path: object) -> bool:
        return path in self._own and path not in self._others

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Takes an audit event."""
        if event in ("open", "sqlite3.connect") and isinstance(arguments[0], str | bytes | Path):
            frame = sys._getframe(1)
            while frame.f_back is not None and _is_standard(frame.f_code.co_filename):
                frame = frame.f_back
            name = frame.f_globals.get("__name__", "")
            if not name.startswith(_KIT):
                files = self._own if name.partition(".")[0] == self._package else self._others
                files.add(os.path.realpath(os.fsdecode(arguments[0])))


def _is_standard(file: str) -> bool:
    return file.startswith(_STANDARD) and "site-packages" not in file


@contextmanager
def opened_by(component: Component) -> Iterator[Opened]:
    """Yields the files that code of a component's own package opens in the block."""
    found = Opened(component)
    with watching(found.take):
        yield found


def holds(root: Path, texts: Mapping[str, str]) -> str:
    """Returns a part of a sentence about the first file that has one of some texts; "" if none.

    Args:
        root: A folder.
        texts: The texts by what they are called.
    """
    for path in sorted(root.rglob("*")):
        with suppress(OSError):
            content = path.read_bytes() if path.is_file() else b""
            for name, text in texts.items():
                if text.encode() in content:
                    return f"writes {name} into {path.relative_to(root)}"
    return ""


__all__ = [
    "changed_in",
    "drafts_in",
    "files_in",
    "hashes_of_run",
    "holds",
    "open_below",
    "opened_by",
    "texts_in",
]
