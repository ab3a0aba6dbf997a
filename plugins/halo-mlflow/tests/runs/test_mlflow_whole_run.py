"""The record of a whole run in MLflow: times, numbers, parameters, tags, files and inputs."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from found_runs import artifacts, only_run, points, text_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_a_whole_run_is_finished_with_its_true_times(
    whole_run: Any, whole_client: MlflowClient
) -> None:
    info = only_run(whole_client).info
    assert info.status == "FINISHED"
    assert info.start_time == int(whole_run.events[0]["time"] * 1000)
    assert info.end_time == int(whole_run.events[-1]["time"] * 1000)


def test_metrics_read_as_titles_and_earlier_stages_are_upstream(
    whole_client: MlflowClient,
) -> None:
    assert set(only_run(whole_client).data.metrics) == {
        "train/loss",
        "upstream.sft/train/loss",
        "samples/median length",
        "answer/win rate",
        "bench/win rate low",
        "bench/win rate high",
    }


def test_constants_and_the_win_rate_with_its_interval_are_tags(whole_client: MlflowClient) -> None:
    tags = only_run(whole_client).data.tags
    assert tags["halo.win"] == "0.600 [0.500, 0.700]"
    assert tags["halo.stage.kto.steps"] == tags["halo.stage.sft.steps"] == "5"
    assert "halo.win_lc" not in tags


def test_curves_have_their_steps_and_final_numbers_have_none(whole_client: MlflowClient) -> None:
    assert points(whole_client, "train/loss") == [(step, 1 / step) for step in range(1, 6)]
    assert points(whole_client, "answer/win rate") == [(0, 0.6)]


def test_parameters_are_the_flattened_spec_without_none_secrets_and_trackers(
    whole_client: MlflowClient,
) -> None:
    assert only_run(whole_client).data.params == {
        "seed": "2",
        "model.path": "/models/m",
        "data.train.0.use": "toy",
        "data.train.0.split": "train",
        "data.train.0.noise": "0.1",
        "stages.sft.use": "train",
        "stages.sft.loss.use": "sft",
        "stages.sft.learning_rate": "0.001",
        "stages.kto.use": "train",
        "stages.kto.from": "sft",
        "stages.kto.loss.use": "kto",
        "stages.kto.loss.beta": "0.1",
        "stages.answers.use": "sample",
        "stages.answers.from": "kto",
        "stages.win.use": "judge",
        "stages.win.of": "answers",
    }


def test_tags_name_the_run_its_method_and_its_process(
    whole_run: Any, whole_client: MlflowClient
) -> None:
    run = only_run(whole_client)
    assert run.info.run_name == "kto-b0.1-s2"
    tags = run.data.tags
    assert tags["halo.kind"] == "run"
    assert tags["halo.method"] == "kto"
    assert tags["halo.recipe"] == "toy"
    assert tags["halo.run_dir"] == str(whole_run.folder)
    assert tags["halo.plugins"] == "halo-methods 0.1.0"
    assert tags["halo.host"] == socket.gethostname()
    assert tags["halo.pid"] == str(os.getpid())
    assert tags["halo.heartbeat"].isdigit()
    assert tags["mlflow.source.name"] == "toy.yaml"
    assert tags["mlflow.runColor"] == "#0072B2"
    assert "halo.error" not in tags


def test_the_note_ends_with_the_headline_the_stages_and_the_command(
    whole_client: MlflowClient,
) -> None:
    note = only_run(whole_client).data.tags["mlflow.note.content"]
    assert note.startswith("**win rate 0.6 against target**\n")
    assert "* kto: kto learned" in note
    assert note.endswith("`halo run toy.yaml --set tracking.0.uri=http://***@host`")


def test_artifacts_are_the_specs_samples_verdicts_and_the_report(
    whole_client: MlflowClient,
) -> None:
    assert artifacts(whole_client) == {
        "env.json",
        "logs",
        "report.html",
        "samples.json",
        "samples.jsonl",
        "spec.resolved.yaml",
        "spec.yaml",
        "verdicts.jsonl",
    }
    assert json.loads(text_of(whole_client, "samples.json")) == {
        "columns": ["prompt", "completion", "target", "tokens", "finish", "prompt_id"],
        "data": [["Hello?", "Hi", "Hi!", 2, "stop", "p1"]],
    }
    assert only_run(whole_client).data.tags["mlflow.loggedArtifacts"] == (
        '[{"path": "samples.json", "type": "table"}]'
    )


def test_no_password_is_sent_anywhere(whole_run: Any, whole_client: MlflowClient) -> None:
    run = only_run(whole_client)
    assert "sesame" not in json.dumps(run.to_dictionary())
    sent = [path for path in (whole_run.workspace / "mlartifacts").rglob("*") if path.is_file()]
    assert {"spec.yaml", "env.json"} <= {path.name for path in sent}
    for path in sent:
        assert "sesame" not in path.read_text()


def test_data_sets_are_inputs_with_a_digest(whole_client: MlflowClient) -> None:
    (data,) = only_run(whole_client).inputs.dataset_inputs
    assert data.dataset.name == "train/toy"
    assert len(data.dataset.digest) == 16
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "train")]
