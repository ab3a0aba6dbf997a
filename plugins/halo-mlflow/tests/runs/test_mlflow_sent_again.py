"""A run that is sent again, in whole or in part: nothing is there twice, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import only_run, points

from halo_core.workspace.records import TITLE, TitleRecord
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.state import STATE_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
