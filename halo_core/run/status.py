"""The status of a run, updated while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from halo_core.run.plan import Plan

Status = Literal["computed", "cached", "failed", "interrupted", "pending"]


@dataclass
class StageStatus:
    """The status of a stage in a run."""

    id: str
    use: str
    folder: Path
    status: Status = "pending"
    metrics: Mapping[str, float] = field(default_factory=dict)
    headline: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Returns what `halo run --json` prints of it."""
        return {
            "id": self.id,
            "use": self.use,
            "folder": str(self.folder),
            "status": self.status,
            "metrics": dict(self.metrics),
            "headline": self.headline,
        }


@dataclass
class RunStatus:
    """The status of a run. It is updated during the run, so that a failure can show it.

    Attributes:
        name: Name of the run and of its folder.
        folder: The run's folder.
        stages: One status per stage, in order.
        trackers: Descriptions of the trackers by name.
        reports: Pages that were written.
    """

    name: str
    folder: Path
    stages: list[StageStatus]
    trackers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reports: list[Path] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """The last stage's sentence."""
        headlines = [stage.headline for stage in self.stages if stage.headline]
        return headlines[-1] if headlines else ""

    def as_json(self) -> dict[str, Any]:
        """Returns what `halo run --json` prints of it."""
        return {
            "run": self.name,
            "folder": str(self.folder),
            "trackers": {name: dict(description) for name, description in self.trackers.items()},
            "reports": [str(path) for path in self.reports],
            "stages": [stage.as_json() for stage in self.stages],
        }


def new_status(plan: Plan) -> RunStatus:
    """Returns the status of a run that has not started."""
    stages = [StageStatus(s.id, s.spec.resolved.name, s.folder) for s in plan.stages]
    return RunStatus(plan.run_name, plan.run_folder, stages)
