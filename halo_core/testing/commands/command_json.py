"""Checks what a command prints with ``--json``: one JSON object, and nothing else."""

from __future__ import annotations

import json

import click

from halo_core.testing.commands.command_examples import Example
from halo_core.testing.commands.command_outcomes import (
    because,
    called,
    check_end,
    check_question,
    given_base,
    observed,
)
from halo_core.testing.commands.command_process import Outcome, outcome_of, workspace_in
from halo_core.testing.component import expect
from halo_core.workspace.records import EVENTS


def check_json(command: click.Command) -> None:
    """Calls a command with ``--json``, if it has such a switch.

    Args:
        command: The command.

    Raises:
        AssertionError: When it prints anything but one JSON object on stdout, also for a run that
            has just begun, or fails.
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
        lines = _says_lines(with_json.leaf)
        _check_object(said, outcome.out, without, lines=lines)
        begun = with_json.has_run() and _of_begun_run(command, with_json)
        if begun and (begun.how, begun.code) == ("done", 0) and not lines:
            _check_object(
                f"{said} with a run that has just begun for RUN", begun.out, "", lines=lines
            )


def _of_begun_run(command: click.Command, example: Example) -> Outcome:
    """Returns how a call ends in whose run no stage has ended."""
    with given_base() as base:
        file = workspace_in(base).run("toy-aaaaaa") / EVENTS.name
        lines = file.read_text("utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:2]), "utf-8")
        return outcome_of(command, example.placed(base), base, fenced=not example.given)


def _says_lines(command: click.Command) -> bool:
    """Returns whether the help of ``--json`` promises an object per line."""
    helps = [p.help or "" for p in command.params if isinstance(p, click.Option)]
    return any("JSON" in each and "line" in each for each in helps)


def _check_object(said: str, out: str, without: str, *, lines: bool) -> None:
    ignored = "it prints the same without --json" if out and out == without else ""
    try:
        found = json.loads(out, parse_constant=_refuse)
        if isinstance(found, dict):
            return
        problem = ignored or f"it is a {'list' if isinstance(found, list) else 'single value'}"
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
