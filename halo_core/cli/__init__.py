"""The command line: `halo COMMAND ...`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main() -> None:
    """Runs the command that the process was started with, and exits.

    Nothing that a start makes is garbage, and looking for some takes a tenth of `halo --help`: the
    collector sleeps until a command is called (`LazyGroup.invoke`).
    """
    gc.disable()
    code = call(sys.argv[1:])
    if not gc.isenabled():
        gc.freeze()
    sys.exit(code)


def call(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; prints as `halo` does."""
    from halo_core.cli.group import halo
    from halo_core.cli.output import Output, finish

    output = Output(json="--json" in arguments, debug="--debug" in arguments)
    return finish(
        output,
        lambda: halo.main(list(arguments), prog_name="halo", standalone_mode=False, obj=output),
    )
