"""Calls a command with each of its other options, whose values the kit chooses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import click

from halo_core.testing.commands.command_examples import Example, value_of
from halo_core.testing.commands.command_outcomes import (
    ABOUT_RUN,
    called,
    check_end,
    given_base,
    observed,
)
from halo_core.testing.commands.command_process import outcome_of

UNKNOWN = "no-such-name"
"""The name of a folder and of a file that do not exist."""

TEXT = f"{UNKNOWN} ('["
"""A value of an option that is a text. It may have to name something, or be a regular expression,
a query or a number."""

MOST = 16
"""Number of calls."""

SECONDS = 8.0
"""Seconds after which no further call is made."""


def check_other_options(command: click.Command) -> None:
    """Calls a command with each option that it does not require, one at a time.

    These are switches, choices, numbers, and texts and paths that name nothing. A file that an
    example writes gets a place that does not exist. Such a call may fail with an error of halo or
    click. It cannot connect, start processes or write elsewhere.

    Args:
        command: The command.

    Raises:
        AssertionError: When it raises anything else, or ends in a way in which no call may end.
        NotCalledError: When no call can be made.
    """
    begun, made = time.monotonic(), 0
    for example, usual, changes in observed(command):
        if usual.how != "done" or usual.code:
            continue  # `check_calls` says this.
        calls = [[*example.words, *words] for words in _more_words(example)]
        calls += _other_places(example, changes)
        for words in calls:
            if made >= MOST or time.monotonic() - begun > SECONDS:
                return
            made += 1
            more = example._replace(words=words)
            with given_base() as base:
                outcome = outcome_of(command, more.placed(base), base, fenced=True)
            about = ABOUT_RUN if example.has_run() else ""
            check_end(called(command, more), outcome, about)


def _other_places(example: Example, changes: Mapping[str, bool]) -> Sequence[list[str]]:
    """Returns a call for each file that an example writes, with a folder that does not exist."""
    words = list(example.words)
    found = []
    for number, word in enumerate(words):
        name = word.rpartition("=")[2] if word.startswith("--") else word
        if changes.get(name):
            place = f"{word[: -len(name)]}{UNKNOWN}/{UNKNOWN}"
            found.append([*words[:number], place, *words[number + 1 :]])
    return found


def _more_words(example: Example) -> Iterator[list[str]]:
    for each in example.leaf.params:
        if not isinstance(each, click.Option) or each.required or not each.opts:
            continue
        flag = each.opts[-1]
        if flag in example.words or flag == "--json" or each.multiple or each.nargs != 1:
            continue
        if each.is_flag or each.count:
            yield [flag]
            continue
        if isinstance(each.type, click.types.StringParamType):
            yield [flag, TEXT]
        elif isinstance(each.type, click.Path):
            yield [flag, f"{UNKNOWN}/{UNKNOWN}"]
        elif each.type in (click.INT, click.FLOAT):
            yield from ([flag, number] for number in ("1", "0", "-1"))
        elif isinstance(each.type, click.Choice):
            yield from ([flag, str(getattr(c, "name", c))] for c in each.type.choices)
        else:
            value = value_of(each.type)
            if value is not None:
                yield [flag, value]


__all__ = ["check_other_options"]
