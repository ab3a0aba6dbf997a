"""Finds what a call changes outside of itself: files, processes, and settings of all code.

Python tells an audit hook about each file that is opened for writing, renamed or removed, each
process that is started and each connection. Settings, such as environment variables, are compared
before and after, and then set back.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from halo_core.testing.processes.global_settings import (
    OF_LIBRARIES,
    disturb,
    said,
    set_back,
    settings_now,
)

WRITES = os.O_WRONLY | os.O_RDWR
"""Flags of a file that is opened for writing."""

CHANGES = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
}
"""Audit events that change files, and the positions of the paths in their arguments."""

PROCESSES = ("subprocess.Popen", "os.posix_spawn", "os.system", "os.exec")
CONNECTIONS = ("socket.connect",)
SETTINGS = {"os.putenv": "sets the environment variable", "os.unsetenv": "removes the variable"}

HOME_CACHES = (".cache", ".config", ".matplotlib", ".triton", "Library/Caches", "nltk_data")
"""Folders of a user in which libraries keep what they have downloaded or computed."""

CACHES = (
    "HF_ASSETS_CACHE",
    "HF_DATASETS_CACHE",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_MODULES_CACHE",
    "HF_XET_CACHE",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_HOME",
    "TRANSFORMERS_CACHE",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
)
"""Environment variables that name such a folder."""

LINGER_S = 1.0
"""Seconds after which a thread that is not a daemon must have ended."""

_watchers: list[Callable[[str, tuple[Any, ...]], None]] = []
_hooked = [False]


class Effects:
    """A record of the effects of some code.

    Attributes:
        done: A part of a sentence for each effect, such as ``writes /home/me/log.txt``.
    """

    def __init__(self, inside: Sequence[Path], *, starts: bool, imports: bool) -> None:
        self._inside = [str(folder.resolve()) for folder in inside]
        if sys.pycache_prefix:
            self._inside.append(os.path.realpath(sys.pycache_prefix))
        self._starts = starts
        self._imports = imports
        self._temporary: list[tuple[str, str]] = []
        self.done: dict[str, None] = {}

    def left_by(self, file: str) -> list[str]:
        """Returns the temporary files and folders that code of a file made and did not remove."""
        return [path for path, by in self._temporary if by == file and os.path.lexists(path)]

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Takes an audit event."""
        if event in ("tempfile.mkstemp", "tempfile.mkdtemp"):
            path = os.path.realpath(arguments[0])
            self._inside.append(path)
            self._temporary.append((path, _caller()))
        elif event == "open":
            path, mode, flags = arguments
            # `os.open`, which gives no mode, may mean a path relative to an open folder.
            known = mode is not None or os.path.isabs(os.fsdecode(path) if _is_path(path) else "")
            # `tempfile` opens a folder to get a file without a name in it.
            named = not (_is_path(path) and os.path.isdir(path))
            if isinstance(flags, int) and flags & WRITES and known and named:
                self._changes(path)
        elif event in CHANGES:
            if _in_open_folder(arguments):
                return
            for position in CHANGES[event]:
                self._changes(arguments[position])
        elif event == "os.chdir":
            self.done["changes the current folder"] = None
        elif event in SETTINGS:  # Also if it has this value already.
            if self._imports and importing():
                return
            self.done[f"{SETTINGS[event]} {_text(arguments[0])}"] = None
        elif self._starts:
            return
        elif event in PROCESSES:
            self.done[f"starts the process {_text(arguments[0])}"] = None
        elif event in CONNECTIONS:
            self.done[f"connects to {_text(arguments[1])}"] = None

    def _changes(self, path: object) -> None:
        if not _is_path(path):
            return  # The number of an open file.
        whole = os.path.realpath(os.fsdecode(path))
        compiled = "__pycache__" in whole or whole.endswith((".pyc", ".pyo"))
        if compiled or whole.startswith(("/dev/", "/proc/")):
            return
        if not any(whole == each or whole.startswith(each + os.sep) for each in self._inside):
            text = os.fsdecode(path)
            shown = whole if os.path.isabs(text) else f"{text} in the current folder"
            self.done[f"writes or removes {shown}"] = None


@contextmanager
def effects(
    inside: Sequence[Path] = (),
    *,
    starts: bool = False,
    imports: bool = False,
    fresh: bool = False,
) -> Iterator[Effects]:
    """Yields what the block does outside of itself. Settings that it changes are set back.

    Args:
        inside: Folders in which it may write. Files that `tempfile` names are allowed too.
        starts: Whether it may start processes and connect to others.
        imports: Whether it may import libraries. Some of them set environment variables and filters
            of warnings. If it imports any, its filters are not compared.
        fresh: Whether nothing can have changed a setting before, as in a new process. Settings then
            keep their values.
    """
    tempfile.gettempdir()  # Its first call writes a file, to see where it can.
    found = Effects(inside, starts=starts, imports=imports)
    computes = not starts
    first = settings_now(computes=computes)
    if not fresh:
        disturb(computes=computes)
    before, threads = settings_now(computes=computes), set(threading.enumerate())
    modules = set(sys.modules)
    environment, here = dict(os.environ), os.getcwd()
    try:
        with watching(found.take):  # It counts no change that sets a setting back.
            yield found
    finally:
        after = settings_now(computes=computes)
        if imports and set(sys.modules) - modules:
            before = {name: each for name, each in before.items() if name not in OF_LIBRARIES}
        for name, value in before.items():
            if after.get(name) != value:
                found.done[said(name, value, after.get(name))] = None
        os.chdir(here)
        set_back(first)
        _set_environment_back(environment)
    for thread in set(threading.enumerate()) - threads:
        if _lingers(thread):
            found.done[f"leaves the thread {thread.name!r} running, which is not a daemon"] = None


@contextmanager
def watching(take: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Calls a function with the name and the arguments of each audit event of the block."""
    if not _hooked[0]:  # A hook cannot be removed, so there is one, which mostly does nothing.
        sys.addaudithook(_hook)
        _hooked[0] = True
    _watchers.append(take)
    try:
        yield
    finally:
        _watchers.remove(take)


def _caller() -> str:
    """Returns the file of the code that called `tempfile`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, tempfile.__file__):
        frame = frame.f_back
    return frame.f_code.co_filename


def _is_path(value: object) -> TypeGuard[str | bytes]:
    return isinstance(value, str | bytes | os.PathLike)


def _in_open_folder(arguments: tuple[Any, ...]) -> bool:
    """Returns whether a path is relative to an open folder, whose number is the last argument."""
    return isinstance(arguments[-1], int) and arguments[-1] >= 0


def importing() -> bool:
    """Returns whether Python is importing a module further up the stack."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
    return False


def caches() -> list[Path]:
    """Returns the folders in which libraries keep what they have downloaded or computed."""
    usual = [Path.home() / name for name in HOME_CACHES]
    named = [Path(os.environ[name]) for name in CACHES if os.environ.get(name)]
    # Where `torch.compile` keeps programs, if no variable says another place.
    user = re.sub(r'[\\/:*?"<>|]', "_", _user())
    return [*usual, *named, Path(tempfile.gettempdir(), f"torchinductor_{user}")]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container may run as a user without a name.
        return str(os.getuid())


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for take in tuple(_watchers):
        take(event, arguments)


def _set_environment_back(environment: Mapping[str, str]) -> None:
    for name in {*os.environ, *environment}:
        if name not in environment:
            del os.environ[name]
        elif os.environ.get(name) != environment[name]:
            os.environ[name] = environment[name]


def _lingers(thread: threading.Thread) -> bool:
    """Returns whether a thread would keep the process from ending."""
    pools = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())
    if thread.daemon or thread in pools:
        return False  # Python ends the threads of its pools by itself.
    end = time.monotonic() + LINGER_S
    while thread.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    return thread.is_alive()


def _text(value: object) -> str:
    text = os.fsdecode(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


__all__ = ["Effects", "caches", "effects", "importing", "watching"]
