"""Reads from MLflow what was sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def only_run(client: MlflowClient) -> Run:
    runs = all_runs(client)
    assert len(runs) == 1
    return runs[0]


def all_runs(client: MlflowClient) -> list[Run]:
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments))


def points(client: MlflowClient, key: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(only_run(client).info.run_id, key)
    return [(metric.step, metric.value) for metric in history]


def artifacts(client: MlflowClient, folder: str | None = None) -> set[str]:
    return {f.path for f in client.list_artifacts(only_run(client).info.run_id, folder)}


def text_of(client: MlflowClient, name: str) -> str:
    run = only_run(client)
    path = run.info.artifact_uri.removeprefix("file://")
    with open(f"{path}/{name}", encoding="utf-8") as file:
        return file.read()
