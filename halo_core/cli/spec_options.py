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
