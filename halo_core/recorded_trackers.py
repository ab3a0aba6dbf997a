"""The trackers that a spec names, or that a run was recorded with, as components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from halo_core.discovery import discover
from halo_core.spec.components import Resolved, Resolver
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.tracker import Tracker
from halo_core.tracker_descriptions import by_name, numbered
from halo_core.workspace.records import RUN


def trackers_of(resolved: Iterable[Resolved]) -> dict[str, Tracker]:
    """Returns the trackers of a checked spec, by name."""
    return by_name(cast(Tracker, each.component) for each in resolved)


def recorded_trees(run: Path) -> Sequence[Mapping[str, Any]]:
    """Returns the trackers in a run's `run.json`: names and options, as in a spec."""
    record = RUN.read(run)
    return record.get("tracking", []) if record else []


def first_tracked(runs: Iterable[Path]) -> Path | None:
    """Returns the first of some runs that was recorded with trackers."""
    return next((run for run in runs if recorded_trees(run)), None)


def recorded_trackers(run: Path) -> dict[str, Tracker]:
    """Returns the trackers that a run was recorded with, by name.

    Raises:
        SpecErrors: When one is not installed, or an option is not as it should be.
    """
    return by_name(_resolve(recorded_trees(run), run))


def usable_trackers(run: Path, failed: Callable[[str, BaseException], None]) -> dict[str, Tracker]:
    """Returns those trackers of a run that can be used, by name.

    Args:
        run: The run's folder.
        failed: Told the name of any other, and what is wrong with it.
    """
    trees = recorded_trees(run)
    found: dict[str, Tracker] = {}
    for name, tree in zip(numbered(str(tree.get("use")) for tree in trees), trees, strict=True):
        try:
            (found[name],) = _resolve([tree], run)
        except Exception as error:
            failed(name, error)
    return found


def _resolve(trees: Sequence[Mapping[str, Any]], folder: Path) -> list[Tracker]:
    mistakes = Mistakes(Document(RUN.name, folder, {"tracking": list(trees)}))
    resolver = Resolver(discover(), mistakes)
    found = [
        resolver.resolve("tracker", dict(tree), ("tracking", i)) for i, tree in enumerate(trees)
    ]
    mistakes.raise_if_any()
    return [cast(Tracker, each.component) for each in found if each is not None]
