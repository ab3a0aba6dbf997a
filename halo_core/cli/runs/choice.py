"""The choice of runs by their state and their spec, and its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from halo_core.errors import UserError, did_you_mean
from halo_core.overview.run_entry import RunEntry
from halo_core.overview.run_state import STATES


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--state`` and ``--spec``, passed to the command as `states` and `spec`."""
    command = click.option(
        "--spec", metavar="NAME", help="Only runs of the spec or suite with this name."
    )(command)
    return click.option(
        "--state",
        "states",
        type=click.Choice(STATES),
        multiple=True,
        help="Only runs in this state. Repeatable.",
    )(command)


@dataclass(frozen=True)
class Choice:
    """The choice and the order of the runs to list.

    Attributes:
        states: Only runs in one of these states; empty for all.
        spec: Only runs of the spec or suite with this name, or of this suite's folder.
        sort: ``time``, ``size`` or ``name``.
        limit: Maximum number of runs; None for all.
    """

    states: Sequence[str] = ()
    spec: str | None = None
    sort: str = "time"
    limit: int | None = None


def choose(every: Sequence[RunEntry], choice: Choice, suites: Sequence[str] = ()) -> list[RunEntry]:
    """Returns the runs that a choice of states and of a spec names, in the given order.

    Args:
        every: All runs of a workspace.
        choice: The choice.
        suites: Names of suites, which may have no runs.

    Raises:
        UserError: When no run is of the spec.
    """
    _check_spec(choice.spec, every, suites)
    return [entry for entry in every if _is_chosen(entry, choice)]


def _check_spec(spec: str | None, every: Sequence[RunEntry], suites: Sequence[str]) -> None:
    if spec is None or spec in suites or any(_is_of(entry, spec) for entry in every):
        return
    names = sorted({entry.spec for entry in every} - {""})
    raise UserError(
        f"no run of a spec or suite {spec!r}.{did_you_mean(spec, names)} "
        f"Specs: {', '.join(names) or 'none'}",
        location="--spec",
    )


def _is_chosen(entry: RunEntry, choice: Choice) -> bool:
    in_state = not choice.states or entry.state.state in choice.states
    return in_state and (choice.spec is None or _is_of(entry, choice.spec))


def _is_of(entry: RunEntry, spec: str) -> bool:
    return spec in (entry.spec, entry.suite) and spec != ""
