"""The command line: `halo COMMAND ...`."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys

# Until Ctrl-C has a handler, it prints Python's traceback. So only modules in C are imported here:
# typing and the Python part of signal would take most of the time until then.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from halo_core.cli.output import Output

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals with which people and systems end a command."""


def main() -> None:
    """Runs the command line of this process, and exits.

    Starting up creates no garbage, and searching for it takes a tenth of the time of `halo --help`.
    So the garbage collector stays off until a command is called (`LazyGroup.invoke`).
    """
    gc.disable()
    # A signal that is ignored stays so, as Ctrl-C in the background of a script, and SIGHUP under
    # nohup. Otherwise it ends the process at once, without a traceback, until there is a handler,
    # and again after the command.
    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    _handle(heard, signal.SIG_DFL)
    from halo_core import watched

    if None in (sys.stdin, sys.stdout, sys.stderr):
        from halo_core.stdout import open_closed_streams

        open_closed_streams()
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        from halo_core.cli.watcher import watch

        watch(arguments)
    from halo_core.stop_flag import BySignal, is_of_a_fork, raise_by_signal

    output = _output(arguments)
    process = os.getpid()

    def on_signal(number: int, frame: FrameType | None) -> None:
        # An error of halo's own, so that one that a plugin raises is not taken for Ctrl-C.
        if not is_of_a_fork(number, process):
            raise_by_signal(number, frame)

    code = 1
    try:
        try:
            _handle(heard, on_signal)
            code = _finished(output, arguments)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
            raise
        finally:
            _handle(heard, signal.SIG_DFL)
            watched.ended(code)
    except BySignal as error:  # one that came while the command was ending
        _handle(heard, signal.SIG_DFL)
        code = 128 + error.signal_number
        watched.ended(code)
    if not gc.isenabled():
        gc.freeze()
    from halo_core.stdout import end_stdout

    end_stdout()  # The output may be JSON, and a plugin may print when Python ends.
    sys.exit(code)


def _handle(numbers: Sequence[int], handler: object) -> None:
    for number in numbers:
        signal.signal(number, handler)


def call(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; prints as `halo` does."""
    return _finished(_output(arguments), arguments)


def _output(arguments: Sequence[str]) -> Output:
    from halo_core.cli.output import Output

    return Output(json="--json" in arguments, debug="--debug" in arguments)


def _finished(output: Output, arguments: Sequence[str]) -> int:
    from halo_core.cli.output import finish

    def command() -> object:
        if sys.flags.optimize > 1:
            from halo_core.errors import UserError

            raise UserError(
                "Python removes all docstrings here, and transformers makes no model without "
                "them; unset PYTHONOPTIMIZE, or set it to 1, and do not use python -OO"
            )
        from halo_core.cli.group import halo  # Here, a Ctrl-C during the import is reported, too.

        return halo.main(list(arguments), prog_name="halo", standalone_mode=False, obj=output)

    return finish(output, command)
