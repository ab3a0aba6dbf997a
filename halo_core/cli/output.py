"""The output and the exit code of every command.

A command uses the decorator `output_options` and receives an `Output`:

    @click.command()
    @output_options
    def validate(output: Output) -> None:
        output.attach(stages=[...])       # a failure reports these fields too
        if output.json:
            output.emit({"stages": [...]})
        else:
            output.say("fine")

It raises a `HaloError` if something goes wrong. `finish` turns that into a message on stderr, or
with ``--json`` into the one JSON object on stdout, and into an exit code:

| code | meaning |
|---|---|
| 0 | done |
| 1 | anything else, also a process that ended without an error message (`halo_core.cli.watcher`) |
| 2 | the user's mistake: spec, option, path, data |
| 3 | a plugin's mistake |
| 130, 143 | interrupted by Ctrl-C, SIGTERM; a closed terminal (SIGHUP) counts as SIGTERM |
"""

from __future__ import annotations

import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import click

from halo_core import printing
from halo_core.cli.local_path import LocalPath
from halo_core.errors import (
    HaloError,
    PathError,
    SpecErrors,
    SuiteErrors,
    error_text,
    exit_code_of,
)
from halo_core.forked import no_second_process
from halo_core.stdout import reader_is_gone, stdout_to_stderr
from halo_core.stop_flag import BySignal

SCHEMA = 1
"""Version of the schema of all JSON objects that commands print."""
NO_MEMORY = (
    "the memory of this machine, or of what this process may use, ran out; take smaller batches, "
    "shorter rows or a smaller model, or end other programs, and run the same command again"
)


class Output:
    """The output of one command: text for people, or one JSON object.

    Args:
        json: Whether ``--json`` was given.
        debug: Whether ``--debug`` was given.
    """

    def __init__(self, *, json: bool = False, debug: bool = False) -> None:
        self.json = json
        self.debug = debug
        self.payload: Mapping[str, Any] | None = None
        self.attached: dict[str, Any] = {}
        self._held: io.TextIOWrapper[io.BytesIO] | None = None

    def say(self, text: str = "") -> None:
        """Prints a line for people on stdout. Prints nothing with ``--json``."""
        if not self.json:
            printing.say(text)

    def warn(self, message: str) -> None:
        """Prints a warning for people on stderr. Prints nothing with ``--json``."""
        if not self.json:
            printing.warn(message)

    def emit(self, payload: Mapping[str, Any]) -> None:
        """Sets the JSON object that is printed at the end. The last call counts."""
        self.payload = payload

    def attach(self, **fields: Any) -> None:
        """Adds fields that the JSON object of a failure also has, for example `stages`."""
        self.attached.update(fields)

    def hold_prints(self) -> None:
        """Keeps what the command itself prints from now on.

        A plugin's command with an option ``--json`` of its own prints its object with `click.echo`.
        """
        self._held = io.TextIOWrapper(
            io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True
        )
        sys.stdout = self._held

    def let_go(self) -> bytes:
        """Returns what was kept, and keeps nothing more."""
        held, self._held = self._held, None
        if held is None:
            return b""
        sys.stdout = sys.stderr
        held.flush()
        return held.detach().getvalue()


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--json`` and ``--debug`` to a command, which receives an `Output` as `output`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def with_output(*args: Any, as_json: bool, debug: bool, **options: Any) -> Any:
        output = click.get_current_context().ensure_object(Output)
        output.json = output.json or as_json
        output.debug = output.debug or debug
        return command(*args, output=output, **options)

    return with_output


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--workspace DIR``, passed to the command as the string `workspace`."""
    return click.option(
        "--workspace",
        envvar="HALO_WORKSPACE",
        default="./workspace",
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        type=LocalPath(),
        help="Folder that runs write to.",
    )(command)


def finish(output: Output, call: Callable[[], Any]) -> int:
    """Calls a command, prints its result or its error, and returns the exit code.

    With ``--json``, everything else that is printed, also by child processes, goes to stderr. If a
    plugin's command ends well without `Output.emit`, what it printed itself is the result.
    """
    try:
        if not output.json:
            code = _guarded(output, call)
        else:
            with stdout_to_stderr():
                code = _guarded(output, call)
                own = output.let_go()
                if output.payload is not None:
                    _write(sys.stderr, own)
            if output.payload is not None:
                _print_json(output.payload)
            else:
                _write(sys.stdout, own)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe. Python's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _write(stream: TextIO, own: bytes) -> None:
    """Writes what a command printed. It is in UTF-8, as all JSON."""
    stream.flush()
    if hasattr(stream, "buffer"):
        stream.buffer.write(own)
        stream.flush()
    else:
        stream.write(own.decode("utf-8", "backslashreplace"))


def _guarded(output: Output, call: Callable[[], Any]) -> int:
    try:
        with no_second_process("the command"):
            result = call()
    except click.exceptions.Exit as error:
        return error.exit_code
    # SystemExit too: a plugin or a library must not end halo as if everything had succeeded.
    except BaseException as error:
        if isinstance(error, SystemExit) and _is_of_click(error):
            raise
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            raise
        return _report(output, _cause(error))
    return result if isinstance(result, int) else 0


def _cause(error: BaseException) -> BaseException:
    """Returns the error to report: of the system about a path, or the one that click hides.

    Click takes every EOFError for the end of what a person types, also that of a damaged file.
    """
    if isinstance(error, OSError):
        from halo_core.workspace.disk import path_problem

        if (problem := path_problem(error)) is not None:
            message, path = problem
            place = None if path is None else printing.shortened(path, 300)
            told = PathError(message, location=place)
            told.__cause__ = error  # `--debug` shows its traceback
            return told
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError | BySignal):
        return error.__cause__
    return error


def _is_of_click(error: SystemExit) -> bool:
    """Returns whether click itself exits, as it does when the reader has closed the pipe."""
    import traceback

    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == click.core.__name__


def _report(output: Output, error: BaseException) -> int:
    code, message = describe(error)
    if output.debug:
        import traceback

        from halo_core.redact import redact_message

        text = redact_message("".join(traceback.format_exception(error)))
        printing.say(text, err=True, end="")
    elif not output.json:
        printing.say(message, err=True)
    if output.json:
        output.emit({**output.attached, **error_fields(error)})
    return code


def describe(error: BaseException) -> tuple[int, str]:
    """Returns the exit code of an error, which is never 0, and its message for people.

    The message repeats what the user typed, so credentials are taken out here.
    """
    from halo_core.redact import redact_message

    code, message = _described(error)
    return code, redact_message(message)


def _described(error: BaseException) -> tuple[int, str]:
    if isinstance(error, HaloError):
        return exit_code_of(error), str(error)
    if isinstance(error, click.ClickException):
        usage = io.StringIO()
        error.show(usage)
        return error.exit_code or 1, usage.getvalue().rstrip()
    if isinstance(error, KeyboardInterrupt):
        return exit_code_of(error), "interrupted"
    if isinstance(error, click.Abort):
        return 130, "interrupted"
    if _is_of_memory(error):
        return 1, f"halo: {NO_MEMORY}"
    return 1, (
        f"halo: internal error: {_first_line(error_text(error))}; "
        "run again with --debug for the traceback"
    )


def _is_of_memory(error: BaseException) -> bool:
    lacks = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return lacks or isinstance(error, MemoryError)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Returns the fields `error` and `errors` of the JSON object of a failure."""
    mistakes = error.errors if isinstance(error, SpecErrors | SuiteErrors) else (error,)
    return {"error": _as_json(error), "errors": [_as_json(mistake) for mistake in mistakes]}


def _as_json(error: BaseException) -> dict[str, str | None]:
    from halo_core.redact import redact_message

    kind, location = type(error).__name__, None
    message = _first_line(error_text(error).removeprefix(f"{kind}: "))
    if isinstance(error, HaloError):
        message, location = error.message, error.location
    elif isinstance(error, click.ClickException):
        message = error.format_message()
        context = getattr(error, "ctx", None)
        location = context.command_path if context else None
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        kind, message = "Interrupted", "interrupted"
    elif _is_of_memory(error):
        message = NO_MEMORY
    return {
        "type": kind,
        "message": redact_message(message),
        "location": None if location is None else redact_message(location),
    }


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def _print_json(payload: Mapping[str, Any]) -> None:
    import json

    text = json.dumps({"schema": SCHEMA, **payload}, ensure_ascii=False, indent=2)
    printing.say(printing.json_visible(text))
