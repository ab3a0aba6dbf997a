"""The command line: `halo COMMAND ...`."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence

from halo_core import watched


def main() -> None:
    """Runs the command line of this process, and exits.

    Starting up creates no garbage, and searching for it takes a tenth of the time of `halo --help`.
    So the garbage collector stays off until a command is called (`LazyGroup.invoke`).
    """
    gc.disable()
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        from halo_core.cli.watcher import watch

        watch(arguments)
    _know_interrupts()
    code = 1
    try:
        code = call(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        watched.ended(code)
    if not gc.isenabled():
        gc.freeze()
    sys.exit(code)


def _know_interrupts() -> None:
    """Lets Ctrl-C raise an error of halo's own, so that one of a plugin is not taken for it."""
    # Where Ctrl-C is ignored, as in the background of a script, it stays so.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    from halo_core.stop_flag import raise_by_signal

    signal.signal(signal.SIGINT, raise_by_signal)


def call(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; prints as `halo` does."""
    from halo_core.cli.group import halo
    from halo_core.cli.output import Output, finish

    output = Output(json="--json" in arguments, debug="--debug" in arguments)
    return finish(
        output,
        lambda: halo.main(list(arguments), prog_name="halo", standalone_mode=False, obj=output),
    )
