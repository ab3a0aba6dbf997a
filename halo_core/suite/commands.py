"""The command of one cell, and the list of all commands for schedulers other than Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo_core.plugins.allowed_files import OPTION, allowed_folders
from halo_core.spec.suite import Suite
from halo_core.suite.plan import SuitePlan


def cell_command(suite: Suite, workspace: str, id_: str) -> list[str]:
    """Returns the arguments of `halo` that run one cell, as a person would write them."""
    return ["run", str(suite.path), *_overrides(suite), "--workspace", workspace, "--cell", id_]


def part_command(suite: Suite, workspace: str, id_: str) -> list[str]:
    """Returns the arguments of `halo` that run one cell for the process that manages the suite."""
    return [
        "cell",
        str(suite.path),
        id_,
        *_overrides(suite),
        "--workspace",
        workspace,
        "--json",
    ]


def _overrides(suite: Suite) -> list[str]:
    return [word for path, text in suite.overrides.items() for word in ("--set", f"{path}={text}")]


def exported(plan: SuitePlan) -> dict[str, Any]:
    """Returns a JSON tree of all cells, in an order in which they can run one after another.

    Each cell has `command`; `needs`, the cells that should end first, so that no command holds a
    machine while it waits; and `waits_for`, the stages that those cells compute. A command that
    starts too early waits for such a stage by itself, because a stage is locked while it is
    computed.
    """
    needs = plan.needs()
    return {
        "schema": 1,
        "suite": plan.suite.name,
        "folder": str(plan.folder),
        "cwd": str(Path.cwd()),
        "cells": [
            {
                "id": id_,
                "run": made.run_name,
                "command": absolute_command(plan, id_),
                "needs": needs[id_],
                "waits_for": [
                    {"stage": s.stage.id, "folder": str(s.stage.folder), "cell": s.cells[0]}
                    for s in plan.todo
                    if id_ in s.cells[1:]
                ],
                "to_do": [stage.id for stage in made.stages if stage.state != "done"],
            }
            for id_, made in plan.plans.items()
        ],
    }


def absolute_command(plan: SuitePlan, id_: str) -> list[str]:
    """Returns the command of one cell, which works in any folder unless ``--set`` is relative."""
    words = cell_command(plan.suite, str(plan.workspace.root), id_)
    spec = str(plan.suite.path)
    allowed = [word for folder in allowed_folders() for word in (OPTION, str(folder))]
    words = [str(Path(word).resolve()) if word == spec else word for word in words]
    return ["halo", *words, *allowed]
