"""Hands the report of a suite to the trackers of its runs, those that take one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import PluginError
from halo_core.recorded_trackers import recorded_trees, resolve_trackers
from halo_core.redact import one_line
from halo_core.workspace.files import read_json
from halo_core.workspace.targets import Target


def hand_over(report: Path, suite: Target) -> list[dict[str, Any]]:
    """Returns what came of it: for each tracker ``use``, ``status`` and ``why``.

    The files stay where they are; a tracker that is broken or out of reach costs nothing else.

    Args:
        report: The folder of the files.
        suite: The suite.
    """
    told: list[dict[str, Any]] = []
    for tree in _trackers(suite):
        use = str(tree.get("use"))
        try:
            ((_, tracker),) = resolve_trackers([tree], suite.folder)
            taken = tracker.take_report(report, suite.folder, suite.workspace)
            if not isinstance(taken, bool):
                raise PluginError(f"take_report() returned {taken!r}; expected True or False")
        except Exception as error:
            told.append({"use": use, "status": "failed", "why": one_line(error)})
        else:
            told += [{"use": use, "status": "sent", "why": None}] if taken else []
    return told


def _trackers(suite: Target) -> Sequence[Mapping[str, Any]]:
    """Returns the trackers of the suite's first run that has any."""
    record = read_json(suite.folder / "suite.json") or {}
    for cell in record.get("cells", ()):
        found = recorded_trees(suite.workspace / str(cell.get("run")))
        if found:
            return found
    return ()
