"""Checks that a stage that draws random numbers does so with the seed of the run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from halo_core.component import Component
from halo_core.stage import Stage
from halo_core.testing.component import expect

GENERATORS = ("Random", "RandomState", "default_rng", "Generator", "manual_seed", "seed")
"""Names of functions that make or seed a generator of random numbers."""


def draws_alone(stage: Stage) -> list[str]:
    """Returns the generators that a stage makes in a module that never reads the seed of the run.

    The module may hand its context to another one, which makes a seed of it. So this is a fault
    only if the output is the same with two seeds.

    Args:
        stage: The stage. If its class says that it is not seeded, it may draw as it likes.
    """
    if not stage.seeded:
        return []
    nodes = list(_own_code(type(stage)))
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    made = {_name(each) for each in calls}.intersection(GENERATORS)
    # `random.seed(0)` is a call, and `self.seed` an option, which is the same in all runs.
    uses_seed = any(
        isinstance(node, ast.Attribute)
        and node.attr == "seed"
        and node not in calls
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        for node in nodes
    )
    return [] if uses_seed else sorted(made)


def check_drawn(stage: Stage, *, same: bool) -> None:
    """Checks that a stage whose output does not depend on the seed does not draw by a constant.

    Args:
        stage: The stage.
        same: Whether its output is the same with two seeds of the run.

    Raises:
        AssertionError: When it does.
    """
    made = draws_alone(stage)
    expect(
        not (made and same),
        stage,
        f"run() gives the same output with two seeds of the run, and its module calls "
        f"{', '.join(made)}() and never reads context.seed, so the draw is the same in all "
        "runs; use context.seed, or set the class variable `seeded` to False",
    )


def _own_code(cls: type[Stage]) -> Iterator[ast.AST]:
    """Yields the nodes of a stage's module, without those of other components in it."""
    try:
        tree = ast.parse(Path(inspect.getfile(cls)).read_text("utf-8"))
    except (OSError, TypeError, ValueError):
        return  # A class without a file.
    module = inspect.getmodule(cls)
    for part in tree.body:
        found = getattr(module, part.name, None) if isinstance(part, ast.ClassDef) else None
        if found is cls or not (isinstance(found, type) and issubclass(found, Component)):
            yield from ast.walk(part)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


__all__ = ["check_drawn", "draws_alone"]
