"""Says what keeps a stage from being found in the store: the nearest result and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.plan import PlannedStage
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import DONE, STAGE, StageRecord

SHOWN = 5


def what_changed(workspace: Workspace, stage: PlannedStage) -> list[str]:
    """Returns what differs from the most similar finished result, a line each; at most a few."""
    prefix = stage.folder.name.rpartition("-")[0]
    mine = dict(_leaves(stage.identity, ""))
    nearest: list[str] | None = None
    for folder in sorted((workspace.root / "stages").glob(f"{prefix}-*")):
        record = _recorded(folder)
        if record is None or not (folder / DONE.name).exists():
            continue
        found = _differences(mine, dict(_leaves(record["identity"], "")))
        if nearest is None or len(found) < len(nearest):
            nearest = found
    return (nearest or [])[:SHOWN]


def _recorded(folder: Path) -> StageRecord | None:
    """Returns what a stage was asked to do; one that cannot be read is no reason to stop."""
    try:
        return STAGE.read(folder)
    except DataError:
        return None


def _differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = sorted({*mine, *other})
    return [
        f"{name}: {other.get(name, 'nothing')} -> {mine.get(name, 'nothing')}"
        for name in names
        if mine.get(name) != other.get(name)
    ]


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list):
        items = [(str(i), value) for i, value in enumerate(tree)]
    else:
        yield path, tree
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}" if path else key)
