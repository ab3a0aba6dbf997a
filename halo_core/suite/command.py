"""The command lines that run one cell of a suite."""

from __future__ import annotations

from halo_core.spec.suite import Suite


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
