from __future__ import annotations

import functools
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN = "toy-1a2b3c"
RESOLVED = """\
name: toy
seed: 2
model: {hub: null, path: /models/m}
data:
  train: [{use: toy, split: train, noise: 0.1}]
stages:
  sft: {use: train, loss: {use: sft}, learning_rate: 0.001}
  kto: {use: train, from: sft, loss: {use: kto, beta: 0.1}, api_key: sesame}
  answers: {use: sample, from: kto}
  win: {use: judge, of: answers}
tracking: [{use: mlflow, uri: "http://ann:sesame@host:5000"}]
"""
STAGES = [
    {"id": id_, "use": use, "folder": f"stages/{id_}", "key": id_, "product": product, "loss": loss}
    for id_, use, product, loss in (
        ("sft", "train", "model", "sft"),
        ("kto", "train", "model", "kto"),
        ("answers", "sample", "samples", None),
        ("win", "judge", "verdicts", None),
    )
]
COMPONENT = {
    "kind": "loss",
    "name": "kto",
    "distribution": "halo-methods",
    "version": "0.1.0",
    "origin": "halo_methods/kto.py",
    "source": "0123456789abcdef",
    "options": {},
}
RECORD = {
    "schema": 1,
    "name": RUN,
    "recipe": "toy",
    "seed": 2,
    "command": ["halo", "run", "toy.yaml", "--set", "tracking.0.uri=http://ann:sesame@host"],
    "stages": STAGES,
    "data": {"train": [{"component": {"use": "toy", "options": {}}, "digest": "d", "split": "x"}]},
    "tracking": [{"use": "mlflow"}],
    "components": [COMPONENT],
    "versions": {"halo-core": "0.1.0", "python": "3.11"},
}


@dataclass
class FakeRun:
    """A workspace with one run, whose events a test appends."""

    workspace: Path
    now: float = 1_700_000_000.0
    name: str = RUN

    @property
    def folder(self) -> Path:
        return self.workspace / "runs" / self.name

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "events.jsonl").open()]

    def append(self, type_: str, **fields: Any) -> None:
        self.now += 1.0
        event = {"v": 1, "time": self.now, "type": type_, **fields}
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")

    def start(self) -> None:
        self.append("run-started", name="toy", run=RUN, stages=["sft", "kto", "answers", "win"])

    def end(self, status: str = "done", headline: str = "", error: str | None = None) -> None:
        self.append("run-ended", status=status, headline=headline, error=error)

    def begin_stage(self, stage: str) -> None:
        self.append("stage-started", stage=stage, use="x", folder=f"stages/{stage}", resumed=False)

    def end_stage(self, stage: str, headline: str = "", **metrics: float) -> None:
        product = next(s["product"] for s in STAGES if s["id"] == stage)
        self.append(
            "stage-ended",
            stage=stage,
            use="x",
            folder=f"stages/{stage}",
            product=product,
            status="computed",
            metrics=metrics,
            headline=headline,
        )

    def train(self, stage: str, steps: range) -> None:
        for step in steps:
            self.append(
                "metrics", stage=stage, step=step, metrics={"train/loss": 1 / step}, examples=step
            )

    def write_whole(self) -> None:
        """Appends the events of a whole run, with the files that its stages made."""
        self.start()
        for stage in ("sft", "kto"):
            self.begin_stage(stage)
            self.train(stage, range(1, 6))
            self.end_stage(
                stage, f"{stage} learned", **{"loss": 0.2, "train/loss": 0.2, "steps": 5}
            )
        self.end_stage("answers", len=7.0)
        self.end_stage("win", "win rate 0.6", win=0.6, win_lo=0.5, win_hi=0.7)
        (self.folder / "report.html").write_text("<p>report</p>")
        self.append("report", path="report.html")
        self.end(headline="win rate 0.6 against target")


@pytest.fixture(autouse=True, scope="session")
def _newest_schema_is_looked_up_once() -> Iterator[None]:
    """Lets MLflow read its seventy migrations once.

    It reads all of them several times whenever a database is opened, to know which is the newest.
    They do not change while tests run.
    """
    from mlflow.store.db import utils

    with pytest.MonkeyPatch.context() as patch:
        newest = functools.cache(utils._get_latest_schema_revision)
        patch.setattr(utils, "_get_latest_schema_revision", newest)
        yield


@pytest.fixture(autouse=True, scope="session")
def _git_is_asked_once() -> Iterator[None]:
    """Lets each run have the commit of this repository that the first run found."""
    from halo_mlflow.runs import lifecycle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "_git", functools.cache(lifecycle._git))
        yield


@pytest.fixture(autouse=True, scope="session")
def _databases_do_not_wait_for_the_disk() -> Iterator[None]:
    """Leaves out to wait until a change of a database would survive a power cut."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def connected(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)
    yield
    event.remove(Engine, "connect", connected)


@pytest.fixture(scope="session")
def migrated(mlflow_tables: Path) -> Path:
    """An empty database with all its tables; copy it."""
    return mlflow_tables


def make_run(workspace: Path, name: str = RUN) -> FakeRun:
    """Returns a run without events, with the files that its stages will have made."""
    run = FakeRun(workspace, name=name)
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text(json.dumps(RECORD))
    (run.folder / "spec.resolved.yaml").write_text(RESOLVED)
    (run.folder / "spec.yaml").write_text('tracking: [{use: mlflow, uri: "http://a:sesame@h"}]\n')
    message = [{"role": "user", "content": "Hello?"}]
    shown = {"prompt_id": "p1", "prompt": message, "completion": "Hi", "tokens": 1}
    sample = {**shown, "target": "Hi!"}
    verdict = {**shown, "baseline": "Hi!", "result": "win", "flip": False, "orders": []}
    for stage, name, row in (
        ("answers", "samples.jsonl", {**sample, "tokens": 2, "finish": "stop"}),
        ("win", "verdicts.jsonl", verdict),
    ):
        folder = run.workspace / "stages" / stage
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(row) + "\n")
    for stage in ("sft", "kto"):
        (run.workspace / "stages" / stage / "model").mkdir(parents=True, exist_ok=True)
        (run.workspace / "stages" / stage / "model" / "config.json").write_text("{}")
    return run


@pytest.fixture(scope="session")
def new_run() -> Callable[..., FakeRun]:
    return make_run


@pytest.fixture
def fake_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return make_run(tmp_path / "ws")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> FakeRun:
    """A whole run that was sent; to be read only."""
    run = make_run(tmp_path_factory.mktemp("whole") / "ws")
    shutil.copy(migrated, run.workspace / "mlflow.db")
    run.write_whole()
    uri = f"sqlite:///{run.workspace / 'mlflow.db'}"
    session = MLflowSession(MLflow(uri=uri), run.folder, run.workspace)
    session.handle(run.events)
    session.close()
    return run


@pytest.fixture
def tracked_run(fake_run: FakeRun, migrated: Path) -> FakeRun:
    """A run whose workspace has a database."""
    shutil.copy(migrated, fake_run.workspace / "mlflow.db")
    return fake_run


@pytest.fixture
def client(tracked_run: FakeRun) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{tracked_run.workspace / 'mlflow.db'}")


@pytest.fixture
def whole_client(whole_run: FakeRun) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{whole_run.workspace / 'mlflow.db'}")


@pytest.fixture
def send(tracked_run: FakeRun) -> Callable[..., MLflowSession]:
    """Hands events of the run to a new session, as a new process would."""

    def send(start: int = 0, stop: int | None = None, **options: Any) -> MLflowSession:
        session = MLflowSession(MLflow(**options), tracked_run.folder, tracked_run.workspace)
        session.handle(tracked_run.events[start:stop])
        session.close()
        return session

    return send
