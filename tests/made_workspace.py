"""Writes workspaces with the helpers for records, as if runs had been made. Trains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.events import EventLog
from halo_core.run.run_files import to_yaml
from halo_core.workspace.check_values import check_value, check_values, files_made
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import (
    DATA,
    DONE,
    EVENTS,
    RESOLVED_SPEC,
    ROWS,
    RUN,
    SPEC,
    STAGE,
    SUITE,
    DataRecord,
    DoneRecord,
    RunCell,
    RunRecord,
    RunStage,
    StageDataRecord,
    StageRecord,
    SuiteCell,
    SuiteRecord,
)


class MadeWorkspace:
    """A workspace that is written stage by stage.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = Workspace(root)

    def key(self, name: str) -> str:
        """Returns a key of 16 hexadecimal digits for a short name."""
        return name.encode().hex().ljust(16, "0")[:16]

    def rows(self, name: str) -> Path:
        """Writes rows, and returns their file."""
        folder = self.place.data(self.key(name))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ROWS).write_bytes(name.encode() * 100)
        DATA.write(
            folder,
            DataRecord(
                source={"use": "toy"},
                split="train",
                feedback="paired",
                rows=1,
                dropped={},
                held_elsewhere=0,
                digest=name,
                files=check_values(folder, [ROWS]),
            ),
        )
        return folder / ROWS

    def stage(
        self,
        name: str,
        *,
        rows: Sequence[str] = (),
        done: bool = True,
        metrics: Mapping[str, float] | None = None,
        size: int = 1000,
    ) -> RunStage:
        """Writes a stage `train-<key of the name>`, and returns its entry for a run's record."""
        key = self.key(name)
        folder = self.place.stage("train", key)
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "weights").write_bytes(b"w" * size)
        STAGE.write(
            folder,
            StageRecord(
                id=name,
                key=key,
                seed=1,
                stage={"use": "train"},
                models={},
                inputs={},
                data={
                    option: StageDataRecord(
                        name=option, feedback="paired", files=[str(self.rows(option))]
                    )
                    for option in rows
                },
                cache=str(self.place.cache),
                events="",
                identity={},
            ),
        )
        EventLog(folder / EVENTS.name).append("stage-started", stage=name, use="train")
        if done:
            checks = check_values(folder, files_made(folder))
            record = DoneRecord(metrics=dict(metrics or {}), headline=f"{name} learned")
            DONE.write(folder, {**record, "files": checks})
        return RunStage(
            id=name, use="train", folder=self.place.relative(folder), key=key, product="model"
        )

    def run(
        self,
        name: str,
        stages: Sequence[RunStage],
        *,
        spec: str = "toy",
        options: Mapping[str, Any] | None = None,
        status: str | None = "done",
        error: str | None = None,
        cell: RunCell | None = None,
        tracking: Sequence[dict[str, Any]] = (),
        versions: Mapping[str, str] | None = None,
    ) -> Path:
        """Writes a run, and returns its folder. Without a status, its end is not recorded."""
        folder = self.place.run(name)
        folder.mkdir(parents=True)
        tree = {"name": spec, "seed": 1, "stages": {s["id"]: {"use": s["use"]} for s in stages}}
        for path, value in (options or {}).items():
            inner: Any = tree
            *parents, last = path.split(".")
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = value
        for file in (SPEC, RESOLVED_SPEC):
            (folder / file).write_text(to_yaml(tree))
        RUN.write(
            folder,
            RunRecord(
                name=name,
                recipe=spec,
                suite=cell,
                seed=1,
                command=["halo", "run", "spec.yaml"],
                stages=list(stages),
                data={},
                tracking=list(tracking),
                versions=dict(versions or {}),
                files={file: check_value(folder / file) for file in (SPEC, RESOLVED_SPEC)},
            ),
        )
        log = EventLog(folder / EVENTS.name)
        log.append("run-started", name=spec, run=name, command=["halo"], stages=[])
        for stage in stages:
            log.append("stage-started", stage=stage["id"], use="train")
            log.append("metrics", stage=stage["id"], step=3, metrics={"train/loss": 0.5})
        if status is not None:
            log.append("run-ended", status=status, headline=f"{name} is good", error=error)
        return folder

    def suite(self, name: str, runs: Mapping[str, Path | None]) -> Path:
        """Writes a suite of runs by the ids of their cells, and returns its folder."""
        folder = self.place.suite(name)
        cells = [
            SuiteCell(
                id=id_,
                axes={"method": id_},
                run=self.place.relative(run) if run else None,
                status="computed" if run else "pending",
                error=None,
            )
            for id_, run in runs.items()
        ]
        axes = {"method": list(runs)}
        SUITE.write(folder, SuiteRecord(name=name.rpartition("-")[0], axes=axes, cells=cells))
        return folder

    def cell(self, suite: str, id_: str) -> RunCell:
        """Returns a run's entry about its cell."""
        return RunCell(folder=f"suites/{suite}", cell=id_, axes={"method": id_})

    def files(self) -> set[str]:
        """Returns all files and folders, without lock files."""
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if not path.name.endswith(".lock")
        }
