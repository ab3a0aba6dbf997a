from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from halo_core.testing import check_tracker
from halo_core.tracker import StartOver
from halo_core.workspace.records import TITLE, TitleRecord
from halo_mlflow.options import MLflow
from halo_mlflow.runs import sender
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.state import STATE_FILE

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


def test_a_run_that_was_renamed_has_that_name_after_it_was_sent_again(
    tracked_run: Any, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    TITLE.write(tracked_run.folder, TitleRecord(title="the long one", note=""))
    send()
    assert only_run(client).info.run_name == "the long one"


def test_a_run_that_an_older_halo_began_keeps_its_names_of_metrics(
    tracked_run: Any, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send(stop=3)
    path = tracked_run.folder / STATE_FILE
    state = (
        path.read_text().replace('"keys": 2', '"keys": 1').replace('"view": true', '"view": false')
    )
    path.write_text(state)
    told = send().describe()
    assert {"sft.train/loss", "train/loss", "bench/win", "final/steps"} <= set(
        only_run(client).data.metrics
    )
    assert "answer/win rate" not in only_run(client).data.metrics
    assert "viewStateShareKey" not in told["url"]


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


@pytest.mark.parametrize(
    ("stage", "file", "what"),
    [
        ("answers", "samples.jsonl", "samples of answers"),
        ("win", "verdicts.jsonl", "verdicts of win"),
    ],
)
def test_lines_that_a_finished_stage_lacks_are_told_and_not_shown_as_all(
    tracked_run: Any,
    send: Any,
    client: MlflowClient,
    caplog: pytest.LogCaptureFixture,
    stage: str,
    file: str,
    what: str,
) -> None:
    folder = tracked_run.workspace / "stages" / stage
    (folder / "done.json").write_text('{"metrics": {}, "headline": ""}')
    tracked_run.start()
    tracked_run.append(file.removesuffix(".jsonl"), stage=stage, path=file, count=2)
    tracked_run.end_stage(stage)
    send()
    (warned,) = [
        record.message for record in caplog.records if "could not be sent" in record.message
    ]
    assert warned.startswith(f"mlflow: {what} could not be sent: ")
    assert f"{file}: holds 1 line; expected 2, as its stage wrote" in warned
    assert "samples.json" not in artifacts(client)
    assert not client.search_traces(locations=[only_run(client).info.experiment_id])


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


@pytest.mark.parametrize(
    ("ended", "status"), [("failed", "FAILED"), ("interrupted", "KILLED"), ("done", "FINISHED")]
)
def test_the_status_says_how_the_run_ended(
    tracked_run: Any, send: Any, client: MlflowClient, ended: str, status: str
) -> None:
    tracked_run.start()
    tracked_run.end(ended, error=None if ended == "done" else "DataError: http://u:sesame@h")
    send()
    run = only_run(client)
    assert run.info.status == status
    if ended != "done":
        assert run.data.tags["halo.error"] == "DataError: http://***@h"


def test_replaying_all_events_changes_nothing(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    before = only_run(client).to_dictionary()
    curve = points(client, "train/loss")
    send()
    after = only_run(client).to_dictionary()
    for tag in ("halo.heartbeat", "halo.pid"):
        before["data"]["tags"].pop(tag)
        after["data"]["tags"].pop(tag)
    assert after == before
    assert points(client, "train/loss") == curve
    assert len(client.search_logged_models([only_run(client).info.experiment_id])) == 2


def test_a_resumed_run_goes_on_in_the_same_mlflow_run_without_steps_twice(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    tracked_run.begin_stage("kto")
    tracked_run.train("kto", range(1, 8))
    tracked_run.end("interrupted", error="Interrupted: stopped")
    send()
    sent = len(tracked_run.events)
    assert only_run(client).info.status == "KILLED"
    tracked_run.start()
    tracked_run.begin_stage("kto")
    tracked_run.train("kto", range(5, 11))
    send(start=sent)
    assert only_run(client).info.status == "RUNNING"
    tracked_run.end()
    send(start=len(tracked_run.events) - 1)
    run = only_run(client)
    assert run.info.status == "FINISHED"
    assert "halo.error" not in run.data.tags
    assert [step for step, _ in points(client, "train/loss")] == list(range(1, 11))


def test_a_repeated_run_that_computes_nothing_keeps_its_end(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    ended = only_run(client).info.end_time
    sent = len(tracked_run.events)
    tracked_run.start()
    tracked_run.end()
    send(start=sent)
    info = only_run(client).info
    assert (info.status, info.end_time) == ("FINISHED", ended)


def test_events_taken_from_the_store_keep_their_time(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    fields = {"stage": "kto", "step": 1, "metrics": {"train/loss": 1.0}, "cached": True}
    tracked_run.append("metrics", at=1000.5, **fields)
    send()
    (metric,) = client.get_metric_history(only_run(client).info.run_id, "train/loss")
    assert metric.timestamp == 1_000_500


def test_a_curve_may_begin_at_step_0_which_is_sent_once(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    for step in (0, 1):
        tracked_run.append("metrics", stage="kto", step=step, metrics={"train/loss": 1.0})
    send()
    tracked_run.append("metrics", stage="kto", step=0, metrics={"train/loss": 1.0})
    send()
    points = client.get_metric_history(only_run(client).info.run_id, "train/loss")
    assert sorted(point.step for point in points) == [0, 1]


def test_names_that_mlflow_rejects_are_rewritten(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    metrics = {"eval/test[0]/löss": 1.0, "../up": 2.0, "a//b": 3.0}
    tracked_run.append("metrics", stage="kto", step=1, metrics=metrics)
    send()
    assert only_run(client).data.metrics == {"eval/test_0_/l_ss": 1.0, "_/up": 2.0, "a/b": 3.0}


def test_numbers_that_are_not_finite_are_never_sent(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    metrics = {"a": math.nan, "b": math.inf, "c": 1.0}
    tracked_run.append("metrics", stage="kto", step=1, metrics=metrics)
    send()
    assert only_run(client).data.metrics == {"c": 1.0}


def test_a_rejected_key_is_left_out_and_the_others_are_sent(
    tracked_run: Any,
    send: Any,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("halo_mlflow.store.metric_keys.clean_name", lambda name: name)
    tracked_run.start()
    tracked_run.append(
        "metrics", stage="kto", step=1, metrics={"a": 1.0, "b": 2.0, "no[brackets]": 3.0, "c": 4.0}
    )
    send()
    assert only_run(client).data.metrics == {"a": 1.0, "b": 2.0, "c": 4.0}
    assert "no[brackets] is left out" in caplog.text


def test_a_parameter_is_never_sent_twice_even_when_it_changed(
    tracked_run: Any, send: Any, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    tracked_run.start()
    send()
    path = tracked_run.folder / "spec.resolved.yaml"
    path.write_text(path.read_text().replace("0.001", "0.002") + "extra: 1\n")
    tracked_run.start()
    send(start=1)
    params = only_run(client).data.params
    assert params["stages.sft.learning_rate"] == "0.001"
    assert params["extra"] == "1"
    assert caplog.text == ""


def test_a_session_asks_for_the_first_event_when_the_store_was_emptied(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    client.delete_run(only_run(client).info.run_id)
    with pytest.raises(StartOver):
        send(start=3)
    send()
    assert points(client, "train/loss") == [(step, 1 / step) for step in range(1, 6)]


def test_a_run_whose_process_is_gone_is_marked_failed_by_the_next_start(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tracked_run.start()
    session: MLflowSession = send()
    experiment = only_run(client).info.experiment_id
    tags = {"halo.host": socket.gethostname(), "halo.heartbeat": "1700000000"}
    dead = client.create_run(experiment, tags={**tags, "halo.pid": str(gone.pid)}).info.run_id
    alive = client.create_run(experiment, tags={**tags, "halo.pid": str(os.getpid())}).info.run_id
    elsewhere = client.create_run(experiment, tags={"halo.host": "?", "halo.pid": str(gone.pid)})
    send()
    own = str(session.describe()["run_id"])
    status = {run.info.run_id: run.info.status for run in all_runs(client)}
    assert status == {
        own: "RUNNING",
        dead: "FAILED",
        alive: "RUNNING",
        elsewhere.info.run_id: "RUNNING",
    }
    assert client.get_run(dead).info.end_time == 1_700_000_000_000
    assert (
        client.get_run(dead).data.tags["halo.error"]
        == "the process ended without reporting its end"
    )


def test_no_events_are_a_heartbeat(tracked_run: Any, client: MlflowClient) -> None:
    from halo_mlflow.options import MLflow

    times = iter([100.0, 110.0, 140.0])
    tracked_run.start()
    session = MLflowSession(
        MLflow(), tracked_run.folder, tracked_run.workspace, clock=lambda: next(times)
    )
    session.handle([])
    assert all_runs(client) == []
    session.handle(tracked_run.events)
    for expected in ("100", "140"):
        session.handle([])
        assert only_run(client).data.tags["halo.heartbeat"] == expected


def test_an_artifact_that_cannot_be_sent_does_not_stop_the_run(
    tracked_run: Any,
    send: Any,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mlflow import MlflowClient

    def refuse(*_: object) -> None:
        raise OSError("no space at http://ann:sesame@bucket")

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    monkeypatch.setattr(sender, "PAUSE_S", 0.0)
    tracked_run.write_whole()
    send()
    run = only_run(client)
    assert run.info.status == "FINISHED"
    assert run.data.tags["halo.incomplete"].startswith(
        "MLflow did not take 5 of its items (samples of answers, the events, the report, the spec, "
    )
    assert "the report could not be sent: OSError: no space at http://***@bucket" in caplog.text


def test_describe_tells_the_ui_command_and_links_for_a_database(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    told = send().describe()
    run = only_run(client).info
    assert told["label"] == "MLflow"
    assert (told["run_id"], told["experiment_id"]) == (run.run_id, run.experiment_id)
    assert told["store"] == f"sqlite:///{tracked_run.workspace / 'mlflow.db'}"
    assert told["ui"] == f"halo ui --workspace {tracked_run.workspace}"
    runs = f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs"
    shown = "workflowType=machine_learning&viewStateShareKey=halo"
    assert told["url"] == f"{runs}/{run.run_id}?{shown}"
    assert told["links"]["compare"] == f"{runs}?{shown}&compareRunsMode=CHART"
    assert told["links"]["table"] == f"{runs}?{shown}"


@pytest.mark.slow
def test_mlflow_keeps_the_rules_of_a_tracker(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    check_tracker(MLflow(), tmp_path)


def test_the_experiment_option_names_the_experiment(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    send(experiment="mine")
    assert client.get_experiment(only_run(client).info.experiment_id).name == "mine"


def test_verdicts_are_traces_that_are_inputs_by_prompt_alone(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    told = send().describe()
    run = only_run(client).info
    (trace,) = client.search_traces(locations=[run.experiment_id], run_id=run.run_id)
    (span,) = trace.data.spans
    assert span.inputs == {"prompt": "Hello?"}
    assert span.outputs == {"completion": "Hi", "baseline": "Hi!"}
    (verdict,) = trace.info.assessments
    assert (verdict.name, verdict.value) == ("verdict", "win")
    assert "/traces?workflowType=machine_learning" in told["links"]["verdicts"]


def test_verdict_traces_zero_sends_none(tracked_run: Any, send: Any, client: MlflowClient) -> None:
    tracked_run.write_whole()
    session = send(verdict_traces=0)
    assert client.search_traces(locations=[only_run(client).info.experiment_id]) == []
    assert "verdicts" not in session.describe()["links"]


def test_flips_and_unscored_verdicts_are_traced_first(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    path = tracked_run.workspace / "stages" / "win" / "verdicts.jsonl"
    row = json.loads(path.read_text())
    kinds = [("win", False), ("tie", True), ("loss", False), ("unscored", False)]
    path.write_text(
        "".join(
            json.dumps({**row, "prompt_id": f"p{i}", "result": result, "flip": flip}) + "\n"
            for i, (result, flip) in enumerate(kinds)
        )
    )
    tracked_run.write_whole()
    send(verdict_traces=2)
    traces = client.search_traces(locations=[only_run(client).info.experiment_id])
    assert {trace.info.tags["halo.prompt_id"] for trace in traces} == {"p1", "p3"}
