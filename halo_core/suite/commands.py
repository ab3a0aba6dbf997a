"""The command of one cell, and the list of all for schedulers other than Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo_core.spec.suite import Suite
from halo_core.suite.plan import SuitePlan


def cell_command(suite: Suite, workspace: str, id_: str) -> list[str]:
    """Returns the arguments of `halo` that run one cell, as a person would give them."""
    return ["run", str(suite.path), *_overrides(suite), "--workspace", workspace, "--cell", id_]


def part_command(suite: Suite, workspace: str, id_: str) -> list[str]:
    """Returns the arguments of `halo` that run one cell for a process which accounts for all."""
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
    """Returns a JSON tree of all cells in an order in which they may run one after the other.

    Each has `command`; `needs`, the cells that are to end before it so that nothing has to wait
    while it holds a machine; and `waits_for`, the stages that those compute. A command started too
    early waits for such a stage by itself, since each stage is locked while it is computed.
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
    """Returns the command of one cell, which holds in any folder but for relative ``--set``."""
    words = cell_command(plan.suite, str(plan.workspace.root), id_)
    spec = str(plan.suite.path)
    return ["halo", *(str(Path(word).resolve()) if word == spec else word for word in words)]
