"""Checks what a command prints with ``--json``: one JSON object, and nothing else."""

from __future__ import annotations

import json

import click

from halo_core.testing.commands.command_outcomes import (
    because,
    called,
    check_end,
    check_question,
    given_base,
    observed,
)
from halo_core.testing.commands.command_process import outcome_of
from halo_core.testing.component import expect


def check_json(command: click.Command) -> None:
    """Calls a command with ``--json``, if it has such a switch.

    Args:
        command: The command.

    Raises:
        AssertionError: When it prints anything but one JSON object on stdout, or fails.
    """
    for example, usual, _ in observed(command):
        with_json = example if "--json" in example.words else example.with_json()
        if with_json is None or usual.how not in ("done", "asks") or usual.code not in (0, 130):
            continue  # Without --json, it does not work either, and `check_calls` says this.
        outcome = usual
        if with_json is not example:
            with given_base() as base:
                words = with_json.placed(base)
                outcome = outcome_of(command, words, base, fenced=not example.given)
        said = called(command, with_json)
        if check_end(said, outcome):
            continue
        if outcome.how == "asks":
            check_question(said, with_json, outcome)
            continue
        expect(
            outcome.code == 0,
            said,
            f"it ends with exit code {outcome.code}{because(outcome)}; without --json, it works",
        )
        without = usual.out if with_json is not example else ""
        _check_object(said, outcome.out, without, lines=_says_lines(with_json.leaf))


def _says_lines(command: click.Command) -> bool:
    """Returns whether the help of ``--json`` promises an object per line."""
    helps = [p.help or "" for p in command.params if isinstance(p, click.Option)]
    return any("JSON" in each and "line" in each for each in helps)


def _check_object(said: str, out: str, without: str, *, lines: bool) -> None:
    ignored = "it prints the same without --json" if out and out == without else ""
    try:
        json.loads(out, parse_constant=_refuse)
        return
    except ValueError as error:
        problem = ignored or str(error)
    if lines and not ignored and all(_is_json(each) for each in out.splitlines() if each.strip()):
        return
    shown = out if len(out) <= 80 else f"{out[:80]}..."
    expect(
        False,
        said,
        f"stdout has {shown!r}; expected one JSON object and nothing else ({problem}). Print other "
        "texts with click.echo(..., err=True)",
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON; write null")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


__all__ = ["check_json"]
