"""Trained models in MLflow: their folders, uploads and versions of registered models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import artifacts, only_run
from pydantic import ValidationError

from halo_mlflow.options import MLflow

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_each_trained_stage_has_a_model_that_names_its_folder(
    whole_run: Any, whole_client: MlflowClient
) -> None:
    run = only_run(whole_client)
    models = whole_client.search_logged_models([run.info.experiment_id])
    assert {model.tags["halo.folder"] for model in models} == {
        str(whole_run.workspace / "stages" / stage / "model") for stage in ("sft", "kto")
    }
    assert "model" not in artifacts(whole_client)


def test_upload_models_sends_the_last_models_folder(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send(upload_models=True)
    assert artifacts(client, "model") == {"model/config.json"}


def test_the_last_model_becomes_a_version_of_a_registered_model(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send(register_model="helper")
    (version,) = client.search_model_versions("name='helper'")
    run = only_run(client)
    assert (str(version.version), version.run_id) == ("1", run.info.run_id)
    assert version.tags["halo.stage"] == "kto"
    (model,) = (
        model
        for model in client.search_logged_models([run.info.experiment_id])
        if model.tags["halo.folder"].endswith("/kto/model")
    )
    assert version.source == model.artifact_location
    assert version.description


def test_a_model_is_registered_once_also_after_a_kill(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send(register_model="helper")
    send(register_model="helper")
    state = tracked_run.folder / "mlflow.json"
    record = json.loads(state.read_text())
    (store,) = record["stores"].values()
    assert store["registered"] == {"helper": "1"}
    store["registered"] = {}
    state.write_text(json.dumps(record))
    send(register_model="helper")
    assert len(client.search_model_versions("name='helper'")) == 1
    send(register_model="other")
    assert len(client.search_registered_models()) == 2


def test_no_model_is_registered_without_the_option(
    whole_run: Any, whole_client: MlflowClient
) -> None:
    assert not list(whole_client.search_registered_models())


@pytest.mark.parametrize("name", ["", "a/b", "a:1", "it's"])
def test_a_name_that_mlflow_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        MLflow(register_model=name)
