"""Two trackers `mlflow` of a run have a record each if they have two stores. One is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import SpecErrors
from halo_core.spec.spec import load_spec
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession

SPEC = """\
name: two
model: {{hub: tiny/model}}
data:
  train: {{use: toy, size: 20}}
stages:
  sft: {{use: train, data: train, loss: sft, epochs: 1}}
tracking:
- {first}
- {second}
"""


def test_two_stores_have_a_run_and_a_record_each(
    tracked_run: Any, migrated: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    uris = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
    for uri in uris:
        shutil.copy(migrated, uri.removeprefix("sqlite:///"))
    tracked_run.write_whole()
    events = tracked_run.events
    for start in (0, 0, 4):  # The second time as after a kill, the third as a run that continues.
        sessions = [
            MLflowSession(MLflow(uri=uri), tracked_run.folder, tracked_run.workspace)
            for uri in uris
        ]
        for part in (events[start:6], events[6:]):
            for session in sessions:
                session.handle(part)
        for session in sessions:
            session.close()
    stores = json.loads((tracked_run.folder / "mlflow.json").read_text())["stores"]
    assert {*stores} == {*uris}
    for uri in uris:
        client = MlflowClient(uri)
        experiments = [each.experiment_id for each in client.search_experiments()]
        (run,) = client.search_runs(experiments)
        assert run.info.run_id == stores[uri]["run_id"]
        assert (run.info.status, stores[uri]["status"]) == ("FINISHED", "FINISHED")
        assert stores[uri]["last_steps"]
        for key, step in stores[uri]["last_steps"].items():
            points = client.get_metric_history(run.info.run_id, key)
            assert [point.step for point in points] == [*range(points[0].step, step + 1)]


@pytest.mark.parametrize(
    ("first", "second", "environment", "place"),
    [
        ("mlflow", "{use: mlflow, experiment: b}", None, "mlflow.db in the workspace"),
        (
            "{use: mlflow, uri: 'http://host:5000'}",
            "{use: mlflow, uri: 'http://host:5000', experiment: b}",
            None,
            "http://host:5000",
        ),
        (
            "mlflow",
            "{use: mlflow, uri: 'http://host:5000'}",
            "http://ann:sesame@host:5000",
            "http:",
        ),
    ],
)
def test_two_trackers_with_one_store_are_a_mistake_at_the_second_one(
    first: str,
    second: str,
    environment: str | None,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if environment is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    spec = tmp_path / "two.yaml"
    spec.write_text(SPEC.format(first=first, second=second))
    with pytest.raises(SpecErrors) as caught:
        load_spec(spec)
    assert "two.yaml:9" in str(caught.value)
    assert f"mlflow sends each run to {place}" in " ".join(str(caught.value).split())
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "others",
    [
        ("mlflow", "{use: mlflow, uri: 'http://host:5000'}"),
        ("{use: mlflow, uri: 'http://a:5000'}", "{use: mlflow, uri: 'http://b:5000'}"),
    ],
)
def test_two_trackers_with_two_stores_are_right(
    others: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    spec = tmp_path / "two.yaml"
    spec.write_text(SPEC.format(first=others[0], second=others[1]))
    trackers: Any = [each.component for each in load_spec(spec).tracking]
    assert len({tracker.writes_to() for tracker in trackers}) == 2
