"""Numbers in MLflow: their times, their names, and those that it does not take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import only_run

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_events_taken_from_the_store_keep_their_time(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    fields = {"stage": "kto", "step": 1, "metrics": {"train/loss": 1.0}, "cached": True}
    tracked_run.append("metrics", at=1000.5, **fields)
    send()
    (metric,) = client.get_metric_history(only_run(client).info.run_id, "train/loss")
    assert metric.timestamp == 1_000_500


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
