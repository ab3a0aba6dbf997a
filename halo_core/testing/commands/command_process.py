"""Calls a command in a forked process, where nobody answers and nothing else is changed."""

from __future__ import annotations

import io
import json
import locale
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from halo_core.errors import HaloError, error_text, exit_code_of
from halo_core.parent_death import die_with
from halo_core.printing import say
from halo_core.testing.commands.command_fence import Fence
from halo_core.testing.commands.command_files import prepare
from halo_core.testing.commands.shared_imports import note_imports, share_imports
from halo_core.testing.processes.patience import Patience
from halo_core.workspace.layout import Workspace

CALL_S = 10.0
"""Seconds that a call may take on a quiet machine."""

How = Literal["done", "error", "crash", "left", "asks", "late", "ended"]
"""How a call ended. It is ``done`` or an ``error`` with a message; or it raised anything else, left
with `SystemExit`, asked a question, took too long, or ended its process."""


@dataclass(frozen=True)
class Outcome:
    """The result of a call.

    Attributes:
        how: How it ended.
        code: The exit code that `halo` would have.
        text: The message of an error.
        out: The text on stdout.
        err: The text on stderr.
        fenced: A part of a sentence about what the kit did not let it do; "" if nothing.
        missing: The library that it could not import; "" if there is none.
        worked_s: Seconds of CPU time, if it took too long.
        shown: The programs in which it opens something; "" if none.
    """

    how: How
    code: int = 0
    text: str = ""
    out: str = ""
    err: str = ""
    fenced: str = ""
    missing: str = ""
    worked_s: float = 0.0
    shown: str = ""


def workspace_in(base: Path) -> Workspace:
    """Returns the workspace of a called command. It is where halo looks for one by default.

    Args:
        base: The folder of the call.
    """
    return Workspace(base / "here" / "workspace")


def can_call() -> bool:
    """Returns whether this system can fork a process."""
    return hasattr(os, "fork")


def outcome_of(
    command: click.Command,
    words: Sequence[str],
    base: Path,
    *,
    fenced: bool,
    seconds: float = CALL_S,
    plain: bool = False,
    here: Path | None = None,
) -> Outcome:
    """Calls a command and returns how it ended.

    Args:
        command: The command, with all its subcommands.
        words: Its arguments.
        base: A folder as `given_base` makes it. The current folder of the command is ``here``.
        fenced: Whether it may not connect, start processes, or write outside of this folder.
        seconds: The time that it may take on a quiet machine.
        plain: Whether the language has the encoding ASCII, which Python uses for files that are
            opened without one.
        here: The current folder of the command, if it is another one.
    """
    for name in ("here", "tmp", "told"):
        (base / name).mkdir(exist_ok=True)
    prepare(command, here or base / "here")
    me = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # The tests' process may have threads.
        child = os.fork()
    if not child:
        try:
            if plain:
                locale.setlocale(locale.LC_CTYPE, "C")
            _call(command, words, base, fenced, me, here or base / "here")
        finally:
            os._exit(0)  # The caller must never continue in two processes.
    late, status, worked = _waited(child, seconds)
    with suppress(OSError):
        os.killpg(child, signal.SIGKILL)  # Processes that it started end with it.
    told = base / "told"
    found: dict[str, Any] = {"how": "late" if late else "ended", "code": status}
    with suppress(OSError, ValueError):
        found = json.loads((told / "outcome").read_text("utf-8"))
    for name in ("out", "err"):
        with suppress(OSError):
            found[name] = (told / name).read_text("utf-8", "backslashreplace")
    if late:
        found["worked_s"] = worked
        with suppress(OSError):
            found["fenced"] = (told / "fence").read_text("utf-8")
    share_imports(command, told)
    for each in told.iterdir():
        each.unlink()
    return Outcome(**found)


def _waited(child: int, seconds: float) -> tuple[bool, int, float]:
    """Waits for a process, and ends it if it takes too long.

    Returns:
        Whether it did, the exit code or the negative signal, and its seconds of CPU time.
    """
    patience = Patience(seconds, child)
    while patience.left() > 0:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return False, os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        select.select([], [], [], 0.005)
    with suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    with suppress(OSError):
        os.kill(child, signal.SIGKILL)
    _, _, used = os.wait4(child, 0)
    return True, 0, used.ru_utime + used.ru_stime


def _call(
    command: click.Command,
    words: Sequence[str],
    base: Path,
    fenced: bool,
    parent: int,
    here: Path,
) -> NoReturn:
    """Calls the command, writes the outcome into files, and ends the process."""
    os.setsid()  # Without a terminal, so that a question for a password gets no answer either.
    die_with(parent)
    signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    before = {*sys.modules}
    stdin = _settled(base, here)
    fence = Fence(base, fenced, base / "told" / "fence")
    with fence:
        outcome = _outcome(command, words, stdin)
    for each in threading.enumerate():
        if each is not threading.current_thread() and not each.daemon:
            each.join()  # As Python does at its end.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    note_imports(base / "told", before)
    found = asdict(outcome) | {"fenced": fence.met, "shown": ", ".join(fence.shown)}
    (base / "told" / "outcome").write_text(json.dumps(found), "utf-8")
    os._exit(0)


class _Nobody(io.TextIOWrapper):
    """A stdin without content, which notes whether a line was wanted."""

    asked = False

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        self.asked = True
        return super().readline(size)


def _settled(base: Path, here: Path) -> _Nobody:
    """Gives this process its own folder, workspace, streams and environment."""
    os.chdir(here)
    place = str(workspace_in(base).root)
    os.environ |= {"HALO_WORKSPACE": place, "TMPDIR": str(base / "tmp")}
    tempfile.tempdir = None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(base / "told" / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", write_through=True)
    sys.stdin = stdin = _Nobody(io.BytesIO(), "utf-8")
    return stdin


def _outcome(command: click.Command, words: Sequence[str], stdin: _Nobody) -> Outcome:
    # A command that uses halo's own output has imported it, and hands its object over to it.
    module = sys.modules.get("halo_core.cli.output")
    output = module.Output(json="--json" in words) if module is not None else None
    name = f"halo {command.name}"
    try:
        result = command.main([*words], prog_name=name, standalone_mode=False, obj=output)
    except HaloError as error:
        return Outcome("error", exit_code_of(error), str(error))
    except click.ClickException as error:
        return Outcome("error", error.exit_code, error.format_message())
    except SystemExit as error:
        return Outcome("left", 3, f"SystemExit({error.code!r}){_line(command, error)}")
    except BaseException as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else None
        if isinstance(error, click.Abort | EOFError) and stdin.asked:
            return Outcome("asks", 130)
        if isinstance(error, click.Abort) and cause is None:
            return Outcome("error", 130, "aborted")
        return _crash(command, cause or error)
    payload: Mapping[str, Any] | None = output.payload if output is not None else None
    if payload is not None:
        say(json.dumps(payload))
    return Outcome("done", result if isinstance(result, int) else 0)


def _crash(command: click.Command, error: BaseException) -> Outcome:
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    text = f"{error_text(error)}{_line(command, error)}"
    return Outcome("crash", 3, text, missing=missing.partition(".")[0])


def _line(command: click.Command, error: BaseException) -> str:
    """Returns the file and the line of the command's own code that raised, in parentheses."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename == _file_of(command)] or frames[-1:]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _file_of(command: click.Command) -> str:
    code = getattr(command.callback, "__wrapped__", command.callback)
    return code.__code__.co_filename if code is not None and hasattr(code, "__code__") else ""


__all__ = ["Outcome", "can_call", "outcome_of", "workspace_in"]
