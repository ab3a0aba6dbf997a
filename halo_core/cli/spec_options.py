"""The argument and options of the commands that read a spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from halo_core.errors import UserError


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument `spec_file` and ``--set PATH=VALUE``, given as `overrides`."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set a value of the spec, as in --set stages.kto.loss.beta=0.2. Repeatable.",
    )(command)
    return click.argument("spec_file", metavar="SPEC", type=click.Path())(command)


def cell_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--cell ID``, given to the command as `cells`."""
    return click.option(
        "--cell",
        "cells",
        multiple=True,
        metavar="ID",
        help="Of a suite only this cell, as in small/kto; * stands for any text, ? for one "
        "character. Repeatable.",
    )(command)


def refuse_for_spec(**given: Any) -> None:
    """Refuses options that only a suite has.

    Args:
        given: Option without its dashes, to what was given.

    Raises:
        UserError: When one was given.
    """
    for name, value in given.items():
        if value:
            raise UserError(
                "this spec is no suite: it has no matrix. Leave the option out, or add one",
                location=f"--{name.replace('_', '-')}",
            )


def parse_overrides(overrides: Sequence[str]) -> dict[str, str]:
    """Returns dotted path to YAML text.

    Raises:
        UserError: When one is not PATH=VALUE.
    """
    parsed = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise UserError("expected PATH=VALUE, as in seed=2", location=f"--set {text}")
        parsed[path] = value
    return parsed
