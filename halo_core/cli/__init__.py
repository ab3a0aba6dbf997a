"""The command line: `halo COMMAND ...`."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import gc
import sys

# Until Ctrl-C has a handler, it prints Python's traceback. So only modules in C are imported here:
# typing and the Python part of signal would take most of the time until then.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from halo_core.cli.output import Output


def main() -> None:
    """Runs the command line of this process, and exits.

    Starting up creates no garbage, and searching for it takes a tenth of the time of `halo --help`.
    So the garbage collector stays off until a command is called (`LazyGroup.invoke`).
    """
    gc.disable()
    # Where Ctrl-C is ignored, as in the background of a script, it stays so. Otherwise it ends the
    # process at once, without a traceback, until there is a handler, and again after the command.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from halo_core import watched

    if None in (sys.stdin, sys.stdout, sys.stderr):
        from halo_core.stdout import open_closed_streams

        open_closed_streams()
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        from halo_core.cli.watcher import watch

        watch(arguments)
    from halo_core.stop_flag import raise_by_signal

    output = _output(arguments)

    if heard:
        # An error of halo's own, so that one that a plugin raises is not taken for Ctrl-C.
        signal.signal(signal.SIGINT, raise_by_signal)
    code = 1
    try:
        code = _finished(output, arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        watched.ended(code)
    if not gc.isenabled():
        gc.freeze()
    sys.exit(code)


def call(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; prints as `halo` does."""
    return _finished(_output(arguments), arguments)


def _output(arguments: Sequence[str]) -> Output:
    from halo_core.cli.output import Output

    return Output(json="--json" in arguments, debug="--debug" in arguments)


def _finished(output: Output, arguments: Sequence[str]) -> int:
    from halo_core.cli.output import finish

    def command() -> object:
        from halo_core.cli.group import halo  # Here, a Ctrl-C during the import is reported, too.

        return halo.main(list(arguments), prog_name="halo", standalone_mode=False, obj=output)

    return finish(output, command)
