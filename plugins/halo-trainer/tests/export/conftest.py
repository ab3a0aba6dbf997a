"""A workspace with a finished run: a model trained from the hub, its samples and its verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.events import EventLog
from halo_core.stage import ModelInput
from halo_core.workspace.check_values import check_value, check_values, files_made
from halo_core.workspace.records import (
    DATA,
    DONE,
    EVENTS,
    RUN,
    SPEC,
    STAGE,
    DataRecord,
    DoneRecord,
    RunRecord,
    RunStage,
    StageDataRecord,
    StageRecord,
)

SPEC_TEXT = """\
name: demo
model: {hub: acme/base}
data:
  thumbs: {use: hh}
stages:
  align: {use: train, loss: kto, data: thumbs}
  judge: {use: judge, judge: {use: python, api_key: sesame}}
"""
STAGES: Mapping[str, Mapping[str, Any]] = {
    "align": {
        "use": "train",
        "product": "model",
        "models": {"from": "model"},
        "roles": {"from": "start", "data": "learn"},
        "loss": "kto",
        "metrics": {"loss": 0.25},
        "headline": "learned from 1,234 examples",
    },
    "answers": {
        "use": "sample",
        "product": "samples",
        "models": {"from": "align"},
        "roles": {"from": "start", "prompts": "test"},
        "metrics": {"n": 20.0},
        "headline": "20 completions",
    },
    "win": {
        "use": "judge",
        "product": "verdicts",
        "inputs": {"of": "answers"},
        "roles": {"against": "rival"},
        "options": {"confidence": 0.9, "interval": "exact"},
        "metrics": {"win": 0.625, "win_lo": 0.4, "win_hi": 0.8, "n": 20.0},
        "headline": "win rate 0.625 [0.400, 0.800]",
    },
}
MakeRun = Callable[..., Path]


def _write_stage(workspace: Path, id_: str, about: Mapping[str, Any], start: Any) -> RunStage:
    folder = workspace / "stages" / f"{about['use']}-{id_}"
    folder.mkdir(parents=True, exist_ok=True)
    learns = about["product"] == "model"
    rows = workspace / "data/0123456789abcdef/rows.arrow"
    data = {"data": StageDataRecord(name="thumbs", feedback="binary", files=[str(rows)])}
    STAGE.write(
        folder,
        StageRecord(
            id=id_,
            key=id_,
            seed=0,
            stage={"use": about["use"], **about.get("options", {})},
            models={"from": start} if learns else {},
            inputs={},
            data=data if learns else {},
            cache=str(workspace / "cache"),
            events=str(workspace / "runs/demo/events.jsonl"),
            identity={},
        ),
    )
    done = DoneRecord(metrics=dict(about["metrics"]), headline=about["headline"])
    done["files"] = check_values(folder, files_made(folder))
    DONE.write(folder, done)
    return RunStage(
        id=id_,
        use=about["use"],
        folder=f"stages/{folder.name}",
        key=id_,
        product=about["product"],
        models=dict(about.get("models", {})),
        inputs=dict(about.get("inputs", {})),
        loss=about.get("loss"),
        roles=dict(about["roles"]),
    )


@pytest.fixture
def stages() -> Mapping[str, Mapping[str, Any]]:
    """The stages of the run by id."""
    return STAGES


@pytest.fixture
def spec() -> str:
    """The spec of the run."""
    return SPEC_TEXT


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def make_run(workspace: Path, tiny_model: ModelInput) -> MakeRun:
    """Returns a function that writes the run and returns the folder of its model."""

    def make(
        model: Path | None = None,
        *,
        start: Mapping[str, Any] | None = None,
        stages: Mapping[str, Mapping[str, Any]] = STAGES,
        spec: str = SPEC_TEXT,
    ) -> Path:
        for id_, about in stages.items():
            if about["product"] == "model":
                folder = workspace / "stages" / f"{about['use']}-{id_}" / "model"
                shutil.copytree(model or tiny_model.path, folder)
        start = start or {"path": "acme/base", "revision": "0a1b2c3", "digest": "d"}
        DATA.write(
            _made(workspace / "data/0123456789abcdef"),
            DataRecord(
                source={"use": "hh", "path": None, "hub": "acme/thumbs"},
                split="train",
                feedback="binary",
                rows=1234,
                dropped={},
                held_elsewhere=0,
                digest="d",
            ),
        )
        run = _made(workspace / "runs/demo-0123")
        EventLog(run / EVENTS.name).append("run-started", name="demo")
        (run / SPEC).write_text(spec, encoding="utf-8")
        records = [_write_stage(workspace, id_, about, start) for id_, about in stages.items()]
        RUN.write(
            run,
            RunRecord(
                name=run.name,
                recipe="demo",
                command=["halo", "run", "my spec.yaml", "--set", "seed=2"],
                stages=records,
                versions={"python": "3.11", "torch": "2.13"},
                files={SPEC: check_value(run / SPEC)},
            ),
        )
        return workspace / "stages/train-align/model"

    return make


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def export(workspace: Path) -> Callable[..., int]:
    """Returns a function that calls `halo export` and returns the exit code."""

    def run(*arguments: object) -> int:
        return call(["export", *map(str, arguments), "--workspace", str(workspace)])

    return run
