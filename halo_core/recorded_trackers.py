"""The trackers that a run was recorded with, as components again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from halo_core.discovery import discover
from halo_core.spec.components import Resolver
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.tracker import Tracker
from halo_core.workspace.records import RUN


def recorded_trees(run: Path) -> Sequence[Mapping[str, Any]]:
    """Returns the trackers in a run's `run.json`: names and options, as in a spec."""
    record = RUN.read(run)
    return record.get("tracking", []) if record else []


def resolve_trackers(trees: Sequence[Mapping[str, Any]], folder: Path) -> list[tuple[str, Tracker]]:
    """Returns the name and the component of each tracker.

    Args:
        trees: As `recorded_trees` gives them.
        folder: What relative paths are relative to.

    Raises:
        SpecErrors: When one is not installed, or an option is not as it should be.
    """
    mistakes = Mistakes(Document(RUN.name, folder, {"tracking": list(trees)}))
    resolver = Resolver(discover(), mistakes)
    found = [
        resolver.resolve("tracker", dict(tree), ("tracking", i)) for i, tree in enumerate(trees)
    ]
    mistakes.raise_if_any()
    return [(each.name, cast(Tracker, each.component)) for each in found if each is not None]
