"""Finds the arguments with which the kit calls a command: its author's examples, or its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from halo_core.testing.commands.command_process import workspace_in
from halo_core.testing.component import expect
from halo_core.testing.made_runs import (
    as_resumed,
    make_run,
    make_suite,
    with_rare_events,
    with_second_stage,
)

RUN, SUITE, WORKSPACE = "RUN", "SUITE", "WORKSPACE"
"""Words of an example in whose place the folders of a run, a suite and the workspace are put."""

_RUN = re.compile(r"(^|_|\b)runs?($|_|\b)", re.IGNORECASE)
"""A name, or a text, about a run."""


class Example(NamedTuple):
    """The arguments of a call.

    Attributes:
        words: The arguments. `RUN`, `SUITE` and `WORKSPACE` are replaced by folders.
        leaf: The command or subcommand that does the work.
        given: Whether the author gave them.
    """

    words: Sequence[str]
    leaf: click.Command
    given: bool

    @property
    def shown(self) -> str:
        """The arguments as on the command line."""
        return shlex.join(self.words)

    def has_run(self, times: int = 1) -> bool:
        """Returns whether an argument is the folder of a run.

        Args:
            times: Smallest number of such arguments.
        """
        return sum(_name(word) == RUN for word in self.words) >= times

    def placed(
        self, base: Path, run: Path | None = None, *, second: Path | None = None
    ) -> list[str]:
        """Returns the arguments with folders.

        Args:
            base: The folder with the workspace of `make_workspace`.
            run: A folder in place of that of the finished run.
            second: A folder in place of that of the finished run where it comes again.
        """
        workspace = workspace_in(base)
        first = [n for n, word in enumerate(self.words) if _name(word) == RUN][:1]
        folders = {
            RUN: run or workspace.run("toy-aaaaaa"),
            SUITE: workspace.suite("toy-abcdef"),
            WORKSPACE: workspace.root,
        }

        def with_folder(number: int, word: str) -> str:
            name = _name(word)
            if name not in folders:
                return word
            again = second is not None and name == RUN and number not in first
            return f"{word[: -len(name)]}{second if again else folders[name]}"

        return [with_folder(*each) for each in enumerate(self.words)]

    def with_json(self) -> Example | None:
        """Returns the call with ``--json``; None if the command has no such switch."""
        switches = [each for each in self.leaf.params if isinstance(each, click.Option)]
        has_it = any("--json" in each.opts and each.is_flag for each in switches)
        if not has_it or "--json" in self.words:
            return None
        return self._replace(words=[*self.words, "--json"])


def _name(word: str) -> str:
    """Returns the last part of ``--of=RUN``, or the whole word."""
    return word.rpartition("=")[2] if word.startswith("--") else word


def make_workspace(base: Path) -> None:
    """Writes a suite of two finished runs into the workspace of a call.

    The first run was resumed, and has a second stage and rare events.

    Args:
        base: A folder.
    """
    workspace = workspace_in(base.resolve())
    runs = [make_run(workspace, cell) for cell in ("a", "b")]
    as_resumed(runs[0], ended=True)
    with_second_stage(runs[0])
    with_rare_events(runs[0])
    make_suite(workspace, runs)


def examples_of(command: click.Command) -> Sequence[Example]:
    """Returns the examples of a command's author, or the calls that the kit can make.

    Args:
        command: The command. Its attribute `examples` has the arguments of calls, each as one text.

    Raises:
        AssertionError: When the attribute is not a list of texts, or one names no subcommand.
    """
    given: object = getattr(command, "examples", None)
    if given is None:
        return list(_own(command, [], command.name or "command"))
    said = command.name or "command"
    expect(
        isinstance(given, list | tuple) and all(isinstance(each, str) for each in given),
        said,
        f"its examples are {given!r}; expected a list with the arguments of each call as one text, "
        "as in ['RUN', 'RUN --json']",
    )
    assert isinstance(given, list | tuple)
    return [_given(command, each) for each in given]


def _given(command: click.Command, text: str) -> Example:
    words, leaf = shlex.split(text), command
    for word in words:
        if not isinstance(leaf, click.Group):
            break
        inner = leaf.get_command(click.Context(leaf), word)
        if inner is None and word.startswith("-"):
            continue
        expect(inner is not None, command.name, f"its example {text!r} names no command {word!r}")
        assert inner is not None
        leaf = inner
    return Example(words, leaf, True)


def _own(command: click.Command, before: Sequence[str], said: str) -> Iterator[Example]:
    """Yields a call of a command, and of each of its subcommands, with what each requires."""
    words = _required(command)
    if command.hidden or words is None:
        return
    if not isinstance(command, click.Group):
        if command.callback is not None:
            yield Example([*before, *words], command, False)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None:
            yield from _own(inner, [*before, *words, name], f"{said} {name}")


def _required(command: click.Command) -> list[str] | None:
    """Returns the arguments that a command requires; None if the kit knows no value of one."""
    words: list[str] = []
    for each in command.params:
        argument = isinstance(each, click.Argument)
        is_run = argument and takes_run(each, command)
        if not each.required and not is_run:
            if argument and each.nargs == -1:
                return None  # Without any, there may be nothing to do.
            continue
        value = RUN if is_run or takes_run(each, command) else value_of(each.type)
        if value is None:
            return None
        words += [] if argument else [each.opts[0]]
        words += [value] * max(1, each.nargs)
    return words


def takes_run(parameter: click.Parameter, command: click.Command) -> bool:
    """Returns whether a parameter is the folder of a run, by its type, its name and the help.

    Args:
        parameter: An argument or an option.
        command: Its command, whose help may speak of a run.
    """
    if not isinstance(parameter.type, click.Path | click.types.StringParamType):
        return False
    if isinstance(parameter.type, click.Path) and not parameter.type.dir_okay:
        return False
    if _RUN.search(parameter.name or "") or _RUN.search(parameter.metavar or ""):
        return True
    paths = [each for each in command.params if isinstance(each.type, click.Path)]
    is_only_path = paths == [parameter] and isinstance(parameter, click.Argument)
    return is_only_path and bool(_RUN.search(command.help or ""))


def value_of(type_: click.ParamType[Any]) -> str | None:
    """Returns a value of a type, as on the command line; None if the kit knows none.

    Args:
        type_: The type of an argument or an option.
    """
    if isinstance(type_, click.Choice):
        first = next(iter(type_.choices), None)
        return None if first is None else str(getattr(first, "name", first))
    if isinstance(type_, click.IntRange | click.FloatRange):
        low = type_.min if type_.min is not None else type_.max
        return None if type_.min_open or low is None else f"{low:g}"
    return {"integer": "1", "float": "1.0", "boolean": "true"}.get(type_.name)


__all__ = ["Example", "examples_of", "make_workspace", "takes_run", "value_of"]
