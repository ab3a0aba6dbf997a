"""A session of the tracker: its options, its end, its heartbeat, its links and its failures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import all_runs, artifacts, only_run, points

from halo_core.testing import check_tracker
from halo_core.tracker import StartOver
from halo_mlflow.options import MLflow
from halo_mlflow.runs import sender
from halo_mlflow.runs.session import MLflowSession

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
