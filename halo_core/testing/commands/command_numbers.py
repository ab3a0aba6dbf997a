"""Checks that a command shows the numbers and the warnings of all stages, or of none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import click

from halo_core.testing.alike_events import (
    Event,
    Output,
    alike_events,
    faults,
    write_events,
)
from halo_core.testing.alike_steps import of_steps
from halo_core.testing.alike_words import of_words
from halo_core.testing.commands.command_examples import Example
from halo_core.testing.commands.command_outcomes import called, given_base, observed
from halo_core.testing.commands.command_process import outcome_of, workspace_in
from halo_core.testing.commands.command_selections import check_selection, selection_in
from halo_core.testing.component import expect
from halo_core.testing.made_runs import STAGES

SECONDS = 3.0
"""Seconds of CPU time of all calls, after which no further call is made."""


class _EnoughError(Exception):
    """The calls took long enough."""


def check_numbers(command: click.Command) -> None:
    """Calls a command with runs whose events differ in one respect only.

    Examples that name a stage must show this stage only. A slow command is called until `SECONDS`
    are over.

    Args:
        command: The command.

    Raises:
        AssertionError: When it uses only some of several alike events (see
            `halo_core.testing.alike_events`), or shows another stage with the one that was asked
            for.
        NotCalledError: When no call can be made.
    """
    end = _used() + SECONDS
    told: set[Sequence[str]] = set()
    for example, usual, _ in observed(command):
        words = tuple(word for word in example.words if word != "--json")
        if words in told or not example.has_run() or (usual.how, usual.code) != ("done", 0):
            continue
        told.add(words)
        with suppress(_EnoughError):
            if not any(stage in word for word in words for stage in STAGES):
                _check_example(called(command, example), _output_of(command, example, end))
            if selection := selection_in(example):
                asked, stage = selection
                output = _output_of(command, asked, end)
                check_selection(called(command, asked), output, _events(), stage)


def _events() -> Sequence[Event]:
    with given_base() as base:
        return alike_events(workspace_in(base).run("toy-aaaaaa"))


def _check_example(said: str, output: Output) -> None:
    events = _events()
    for fault in (*faults(output, events), *of_steps(output, events), *of_words(output, events)):
        expect(not fault, said, f"with runs that differ in one respect, {fault}")


def _used() -> float:
    """Returns the CPU time of the processes in which commands were called."""
    times = os.times()
    return times.children_user + times.children_system


def _output_of(command: click.Command, example: Example, end: float) -> Output:
    """Returns a function that calls a command for events, and returns what it prints and writes."""

    def output(events: Sequence[Event]) -> bytes | None:
        if _used() > end:
            raise _EnoughError
        with given_base() as base:
            here = base / "here"
            write_events(workspace_in(base).run("toy-aaaaaa"), events)
            before = {*here.rglob("*")}
            outcome = outcome_of(command, example.placed(base), base, fenced=not example.given)
            if (outcome.how, outcome.code) != ("done", 0):
                return None
            new = sorted(path for path in {*here.rglob("*")} - before if path.is_file())
            parts = [
                outcome.out.encode(),
                outcome.err.encode(),
                *(each.read_bytes() for each in new),
            ]
            return b"\0".join(parts).replace(bytes(base), b"")

    return output


__all__ = ["check_numbers"]
