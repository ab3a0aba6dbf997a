"""A suite is one run of MLflow, the parent of its cells' runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import all_runs

from halo_core.tracking.suite_tracking import SuiteTracking
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.state import STATE_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MADE = Path(__file__).parents[4] / "tests" / "made_components.py"
SUITE = f"""\
name: tiny
model: {{hub: someone/small}}
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
stages:
  align:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss", beta: 0.1}}
  answers: {{use: "file:{MADE}:Answer", prompts: test}}
  win: {{use: "file:{MADE}:Compare", of: answers, against: target}}
reports: []
tracking: [mlflow]
matrix:
  size: {{small: }}
  method:
    weak:
    broken: {{stages.align.rate: 2.0, stages.align.fail: user}}
"""


def parent_of(client: MlflowClient) -> Run:
    (run,) = [run for run in all_runs(client) if run.data.tags.get("halo.kind") == "suite"]
    return run


def text_of(run: Run, name: str) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / name).read_text()


@pytest.fixture
def suite_folder(tracked_run: Any) -> Path:
    """A suite of two cells, of which the first one is the fake run."""
    record = json.loads((tracked_run.folder / "run.json").read_text())
    cell = {"size": "small", "method": "kto"}
    record["suite"] = {"folder": "suites/toy-abc", "cell": "small/kto", "axes": cell}
    (tracked_run.folder / "run.json").write_text(json.dumps(record))
    folder: Path = tracked_run.workspace / "suites" / "toy-abc"
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text('tracking: [{use: mlflow, uri: "http://a:sesame@h"}]\n')
    write_suite(tracked_run, folder, "pending", "pending")
    return folder


def write_suite(run: Any, folder: Path, first: str, second: str) -> None:
    cells = [
        {
            "id": f"small/{method}",
            "axes": {"size": "small", "method": method},
            "run": f"runs/{run.folder.name}" if method == "kto" else None,
            "status": status,
            "error": {"type": "UserError", "message": "too small", "location": None}
            if status == "failed"
            else None,
        }
        for method, status in (("kto", first), ("dpo", second))
    ]
    axes = {"size": ["small"], "method": ["kto", "dpo"]}
    record = {"schema": 1, "name": "toy", "axes": axes, "cells": cells}
    (folder / "suite.json").write_text(json.dumps(record))


def tell(folder: Path, status: Any) -> dict[str, Any]:
    return dict(MLflow().tell_suite(folder, folder.parents[1], status))


def test_a_cells_run_is_a_child_of_the_suites_whichever_comes_first(
    tracked_run: Any, suite_folder: Path, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    tell(suite_folder, "running")
    parent = parent_of(client)
    (child,) = [run for run in all_runs(client) if run.info.run_id != parent.info.run_id]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.experiment_id == parent.info.experiment_id
    assert child.info.run_name == "small/kto"
    assert child.data.tags["halo.cell"] == "small/kto"
    assert child.data.tags["halo.suite"] == "toy-abc"
    assert child.data.tags["halo.axis.method"] == "kto"
    assert parent.info.run_name == "toy"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("running", "RUNNING"),
        ("done", "FINISHED"),
        ("failed", "FAILED"),
        ("interrupted", "KILLED"),
        ("pending", "SCHEDULED"),
    ],
)
def test_the_parents_status_says_how_far_the_suite_is(
    suite_folder: Path, client: MlflowClient, status: str, shown: str
) -> None:
    tell(suite_folder, status)
    assert parent_of(client).info.status == shown


def test_the_parent_has_the_suite_and_a_table_of_the_cells_final_numbers(
    tracked_run: Any, suite_folder: Path, client: MlflowClient
) -> None:
    for stage, metrics in (("kto", {"steps": 5}), ("win", {"win": 0.6, "win_lo": 0.5})):
        done = {"metrics": metrics, "headline": ""}
        (tracked_run.workspace / "stages" / stage / "done.json").write_text(json.dumps(done))
    write_suite(tracked_run, suite_folder, "computed", "failed")
    told = tell(suite_folder, "failed")
    parent = parent_of(client)
    assert told["run_id"] == parent.info.run_id
    assert told["url"].endswith(
        f"/runs/{parent.info.run_id}?workflowType=machine_learning&viewStateShareKey=halo"
    )
    assert list(told["links"]) == ["compare", "table"]
    # A filter in the address would keep MLflow from opening the view.
    assert told["links"]["table"].endswith("&viewStateShareKey=halo-toy-abc")
    tags = client.get_experiment(told["experiment_id"]).tags
    assert {"mlflow.sharedViewState.halo", "mlflow.sharedViewState.halo-toy-abc"} <= set(tags)
    state = json.loads(json.loads(tags["mlflow.sharedViewState.halo-toy-abc"])["state"])
    assert state["searchFilter"] == f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    assert json.loads(text_of(parent, "cells.json")) == {
        "columns": ["cell", "size", "method", "status", "answer/win rate", "bench/win rate low"],
        "data": [
            ["small/kto", "small", "kto", "computed", 0.6, 0.5],
            ["small/dpo", "small", "dpo", "failed", None, None],
        ],
    }
    assert text_of(parent, "suite.yaml") == 'tracking: [{use: mlflow, uri: "http://***@h"}]\n'
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("**2 cells: 1 computed, 1 failed**")
    assert "| small/kto | computed | 0.6 | 0.5 |" in note
    assert "* small/dpo: too small" in note


def test_cells_that_were_not_begun_are_only_counted_in_the_note(
    tracked_run: Any, suite_folder: Path, client: MlflowClient
) -> None:
    write_suite(tracked_run, suite_folder, "computed", "pending")
    tell(suite_folder, "pending")
    note = parent_of(client).data.tags["mlflow.note.content"]
    assert note.startswith("**2 cells: 1 computed, 1 pending**")
    assert "small/kto" in note
    assert "small/dpo" not in note


def test_telling_twice_makes_one_parent_and_a_deleted_one_comes_back_with_its_children(
    tracked_run: Any, suite_folder: Path, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send()
    tell(suite_folder, "running")
    tell(suite_folder, "done")
    first = parent_of(client).info.run_id
    client.delete_run(first)
    tell(suite_folder, "done")
    second = parent_of(client).info.run_id
    assert second != first
    (child,) = [run for run in all_runs(client) if run.info.run_id != second]
    assert child.data.tags["mlflow.parentRunId"] == second


def test_a_parent_whose_record_was_lost_is_found_in_whatever_experiment(
    suite_folder: Path, client: MlflowClient
) -> None:
    first = tell(suite_folder, "running")
    (suite_folder / STATE_FILE).unlink()
    assert tell(suite_folder, "done")["run_id"] == first["run_id"]
    client.rename_experiment(first["experiment_id"], "mine")
    (suite_folder / STATE_FILE).unlink()
    assert tell(suite_folder, "done")["run_id"] == first["run_id"]
    client.delete_experiment(first["experiment_id"])
    (suite_folder / STATE_FILE).unlink()
    # It was renamed, so the experiment of this name is a new one, and the deleted one stays so.
    assert tell(suite_folder, "done")["run_id"] != first["run_id"]


def test_a_cell_lies_with_its_parent_in_an_experiment_that_was_renamed(
    tracked_run: Any, suite_folder: Path, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    parent = tell(suite_folder, "running")
    client.rename_experiment(parent["experiment_id"], "mine")
    tracked_run.start()
    told = send().describe()
    assert told["experiment_id"] == parent["experiment_id"]
    assert client.get_run(str(told["run_id"])).info.experiment_id == parent["experiment_id"]


def test_the_parent_of_another_folder_with_the_same_name_is_not_taken(
    suite_folder: Path, client: MlflowClient, tmp_path: Path
) -> None:
    first = tell(suite_folder, "running")
    other = tmp_path / "other" / "suites" / "it's mine"
    for there in (other, other.with_name(suite_folder.name)):
        shutil.copytree(suite_folder, there, ignore=shutil.ignore_patterns(STATE_FILE))
        uri = f"sqlite:///{suite_folder.parents[1] / 'mlflow.db'}"
        told = dict(MLflow(uri=uri).tell_suite(there, tmp_path / "other", "running"))
        assert told["run_id"] != first["run_id"]


@pytest.mark.slow
def test_a_store_out_of_reach_only_warns(
    suite_folder: Path,
) -> None:
    warnings: list[str] = []
    tracker = MLflow(uri="http://127.0.0.1:9", timeout_s=1)
    tracking = SuiteTracking(
        {"mlflow": tracker}, suite_folder, suite_folder.parents[1], warnings.append
    )
    tracking.tell()
    tracking.close("done", deadline_s=120)
    first, last = warnings
    assert first.startswith("mlflow: ")
    assert first.endswith("; the suite continues without it")
    assert last.startswith("mlflow: it does not know how the suite ended; run the same command")


@pytest.mark.slow(seconds=10)
def test_a_suite_that_runs_is_one_parent_with_a_child_per_cell(
    halo: Callable[..., Any],
    tmp_path: Path,
    tracked_workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = halo("run", "suite.yaml", "--json")
    assert done.code == 2, done.err
    told = done.json["trackers"]["mlflow"]
    (record,) = (tracked_workspace / "suites").glob("*/suite.json")
    assert json.loads(record.read_text())["trackers"] == {"mlflow": told}
    client = MlflowClient(f"sqlite:///{tracked_workspace / 'mlflow.db'}")
    parent = parent_of(client)
    assert told["run_id"] == parent.info.run_id
    assert parent.info.status == "FAILED"
    children = [r for r in all_runs(client) if r.info.run_id != parent.info.run_id]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {child.info.run_name: child.info.status for child in children} == {
        "small/weak": "FINISHED",
        "small/broken": "FAILED",
    }
    table = json.loads(text_of(parent, "cells.json"))
    assert [row[0] for row in table["data"]] == ["small/weak", "small/broken"]
    assert table["data"][0][table["columns"].index("answer/win rate")] == 0.5


def test_a_report_lies_with_the_parent_and_a_later_one_takes_its_place(
    suite_folder: Path, client: MlflowClient, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    report.mkdir()
    for words in ("first", "second"):
        (report / "report.html").write_text(words)
        assert MLflow().take_report(report, suite_folder, suite_folder.parents[1])
    (parent,) = all_runs(client)
    (file,) = client.list_artifacts(parent.info.run_id, "report")
    shown = client.download_artifacts(parent.info.run_id, file.path, str(tmp_path))
    assert Path(shown).read_text() == "second"
