"""The command `halo`. Its subcommands are imported when they are called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from shlex import quote
from typing import Any

import click

from halo_core.cli.plugin_commands import (
    command_of_plugin,
    helps_of,
    installed,
    is_of_author,
)
from halo_core.errors import HaloError, Interrupted, PluginError, UserError, error_text
from halo_core.plugins.error_place import raised_at
from halo_core.printing import say
from halo_core.stdout import reader_is_gone
from halo_core.stop_flag import BySignal, from_outside

COMMANDS = {
    "run": ("halo_core.cli.run:run", "Run a spec. Finished results are not computed again."),
    "join": ("halo_core.cli.join:join", "Work for a run that another machine has started."),
    "plan": ("halo_core.cli.plan:plan", "Show what a run would do and what is already done."),
    "validate": ("halo_core.cli.validate:validate", "Check a spec without training anything."),
    "data": ("halo_core.cli.data:data", "Preview a data source: rows, lengths, dropped rows."),
    "init": ("halo_core.cli.init:init", "Write a first spec from three answers."),
    "plugins": ("halo_core.cli.plugins:plugins", "List plugins, show one, find more."),
    "new": ("halo_core.cli.new:new", "Write a new plugin that already works."),
    "check": ("halo_core.cli.check:check", "Check that plugins keep the rules of halo."),
    "runs": ("halo_core.cli.runs.group:runs", "List, show, compare, name and remove runs."),
    "doctor": ("halo_core.cli.doctor:doctor", "Show this machine, and what a spec lacks on it."),
    "sync": ("halo_core.cli.sync:sync", "Send the events of a run to its trackers again."),
    "verify": ("halo_core.cli.verify:verify", "Find files of a run that are damaged."),
    "schema": ("halo_core.cli.validate:schema", "Print the JSON schema of specs, for editors."),
}
"""Maps the name of a command to its import string and one line of help."""

HIDDEN = {"cell": "halo_core.cli.hidden:cell", "worker": "halo_core.cli.hidden:worker"}
"""Commands that halo starts by itself."""


class LazyGroup(click.Group):
    """A group that knows its commands by import string. Plugins add their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the visible commands: the core's, then the plugins'."""
        return [*COMMANDS, *helps_of(installed())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns a command, also one in a file; None if none has this name."""
        target = COMMANDS[cmd_name][0] if cmd_name in COMMANDS else HIDDEN.get(cmd_name)
        if target is not None:
            module, _, attribute = target.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return command_of_plugin(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command. For a misspelt name, the error suggests the nearest one."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UserError(_no_command(args[0], self.list_commands(ctx)))
        if is_of_author(args[0]) and ctx.obj is not None and ctx.obj.json:
            ctx.obj.hold_prints()
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. An error in a plugin's command is reported as the plugin's."""
        gc.enable()
        try:
            return super().invoke(ctx)
        except (
            HaloError,
            click.ClickException,
            click.exceptions.Exit,
            click.Abort,
        ):
            raise
        except BaseException as error:
            if isinstance(error, BySignal):
                raise _interrupted(error) from error
            if from_outside(error) or (isinstance(error, BrokenPipeError) and reader_is_gone()):
                raise
            name = ctx.invoked_subcommand or ""
            if not is_of_author(name):
                # Click would take it for that of the command's own output, and exit silently.
                if isinstance(error, BrokenPipeError):
                    raise HaloError(
                        "a process or a connection that the command wrote to has closed: "
                        f"{error_text(error)}",
                        location=f"halo {name}",
                    ) from error
                raise
            raise PluginError(
                f"the command {name!r} failed: {error_text(error)}{_advice(error)}",
                location=raised_at(error.__traceback__, name),
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])
        helps = helps_of(installed())
        if helps:
            with formatter.section("Commands from plugins"):
                formatter.write_dl(list(helps.items()))


def _interrupted(error: BySignal) -> Interrupted:
    """Returns the error to report. Of others, click prints an empty line before it."""
    if sys.stderr.isatty():
        say(err=True)  # The terminal shows ^C at the beginning of this line.
    return Interrupted("interrupted", signal_number=error.signal_number)


def _advice(error: BaseException) -> str:
    return "; end it with click's ctx.exit()" if isinstance(error, SystemExit) else ""


def _no_command(name: str, known: list[str]) -> str:
    from halo_core.errors import did_you_mean

    if catalogued := installed().catalogued(name, "command"):
        return f"the command {name!r} is in {catalogued}"
    spec = f" To run a spec: halo run {quote(name)}" if os.path.exists(name) else ""
    if spec and name.endswith(".py"):
        spec = f" To run a command in a file: halo file:{quote(name)}:COMMAND"
    return f"no command named {name!r}.{did_you_mean(name, known)}{spec} Commands: halo --help"


def _print_version(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from halo_core import __version__

        say(f"halo {__version__}")
        ctx.exit()


def _width() -> int:
    """Returns the width of help texts. Click's own way imports compression libraries for it."""
    try:
        return max(50, min(80, os.get_terminal_size().columns) - 2)
    except OSError:
        return 78


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _width()},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def halo() -> None:
    """Align language models with human-aware losses.

    Start with: halo run examples/quickstart.yaml
    """
