"""The tracker against a real MLflow server, which is killed in between."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import HaloError
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.store import choose_store
from halo_mlflow.ui.server import served, server_command, server_environment

pytestmark = pytest.mark.slow(seconds=10)


def test_a_server_that_comes_back_gets_every_point_once(tracked_run: Any, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    store = choose_store(None, tracked_run.workspace)
    environment = server_environment(store, os.environ)
    command = server_command("127.0.0.1", port)
    session = MLflowSession(MLflow(uri=url), tracked_run.folder, tracked_run.workspace)
    tracked_run.start()
    tracked_run.train("kto", range(1, 6))
    with served(command, environment, tmp_path, url, lambda: False):
        session.handle(tracked_run.events)
    taken = len(tracked_run.events)
    tracked_run.train("kto", range(6, 11))
    tracked_run.end_stage("answers", len=7.0)
    tracked_run.end_stage("win", win=0.6)
    tracked_run.end()
    with pytest.raises(HaloError):
        session.handle(tracked_run.events[taken:])
    with served(command, environment, tmp_path, url, lambda: False):
        session.handle(tracked_run.events[taken:])
        client = MlflowClient(url)
        run = client.get_run(str(session.describe()["run_id"]))
        history = client.get_metric_history(run.info.run_id, "train/loss")
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        traces = client.search_traces(locations=[run.info.experiment_id])
        tags = client.get_experiment(run.info.experiment_id).tags
    assert run.info.status == "FINISHED"
    assert "mlflow.sharedViewState.halo" in tags
    assert "viewStateShareKey=halo" in str(session.describe()["url"])
    assert [metric.step for metric in history] == list(range(1, 11))
    assert {"samples.json", "verdicts.jsonl", "spec.yaml"} <= files
    assert len(traces) == 1


def test_a_server_takes_a_version_of_a_registered_model(tracked_run: Any, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = server_environment(choose_store(None, tracked_run.workspace), os.environ)
    tracked_run.write_whole()
    options = MLflow(uri=url, register_model="helper", upload_models=True)
    session = MLflowSession(options, tracked_run.folder, tracked_run.workspace)
    command = server_command("127.0.0.1", port)
    with served(command, environment, tmp_path, url, lambda: False):
        session.handle(tracked_run.events)
        (version,) = MlflowClient(url).search_model_versions("name='helper'")
        assert version.run_id == session.describe()["run_id"]
        assert version.tags["halo.stage"] == "kto"
