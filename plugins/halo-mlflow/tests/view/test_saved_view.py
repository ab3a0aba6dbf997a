"""The saved view "halo" of an experiment is written, kept if changed, and left out if untested."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.view.saved_view import LONGEST_TAG, is_own, newest_runs, view_text, write_view
from halo_mlflow.view.state_3_17 import page_state

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "mlflow.sharedViewState.halo"
Send = Callable[..., MLflowSession]


def view_of(client: MlflowClient) -> str | None:
    tag: str | None = client.get_experiment("1").tags.get(TAG)
    return tag


def test_each_experiment_has_the_view_and_every_link_opens_it(
    tracked_run: Any, send: Send, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    told = send().describe()
    view = json.loads(view_of(client) or "")
    assert view["name"] == "halo"
    assert view["createdAt"] > 1.7e12
    state = json.loads(view["state"])
    assert state["orderByKey"] == "metrics.`answer/win rate`"
    assert state["selectedColumns"][:2] == ["tags.`halo.win`", "tags.`halo.win_lc`"]
    assert state["columnOrder"][0] == "attributes.`Run Name`"
    sections = {each["name"]: each for each in state["compareRunSections"]}
    assert [name for name, each in sections.items() if each["display"]] == [
        "Which run won, by how much, and is it length?",
        "Did they learn?",
    ]
    assert list(sections)[-1] == "upstream.sft/train"
    placed = {each["metricSectionId"] for each in state["compareRunCharts"]}
    assert placed <= {each["uuid"] for each in sections.values()}
    links = [told["url"], *told["links"].values()]
    assert len(links) == 5
    assert all("&viewStateShareKey=halo" in link for link in links)


def test_a_view_that_somebody_changed_is_kept_and_a_deleted_one_comes_back(
    tracked_run: Any, send: Send, client: MlflowClient
) -> None:
    tracked_run.write_whole()
    send(stop=3)
    first = view_of(client)
    assert first is not None
    send()
    later = view_of(client)
    assert later is not None
    assert is_own(first)
    assert is_own(later)
    assert later != first  # The metrics are known now.
    assert json.loads(later)["createdAt"] == json.loads(first)["createdAt"]
    write_view(client, "1", newest_runs(client, "1"))
    assert view_of(client) == later
    # MLflow's pages write only these fields.
    fields = ("name", "createdAt", "updatedAt", "state")
    renamed = json.dumps({key: json.loads(later)[key] for key in fields} | {"name": "mine"})
    for changed in (renamed, later.replace('\\"orderByAsc\\":false', '\\"orderByAsc\\":true'), "?"):
        client.set_experiment_tag("1", TAG, changed)
        write_view(client, "1", newest_runs(client, "1"))
        assert view_of(client) == changed
    client.delete_experiment_tag("1", TAG)
    write_view(client, "1", newest_runs(client, "1"))
    assert is_own(view_of(client) or "")


def test_the_columns_are_the_options_that_differ_each_once(judged_workspace: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{judged_workspace / 'mlflow.db'}")
    view = json.loads(view_of(client) or "")
    columns = json.loads(view["state"])["selectedColumns"]
    assert [column for column in columns if column.startswith("params")] == [
        "params.`stages.kto.loss.use`",
        "params.`stages.kto.loss.beta`",
        "params.`stages.kto.learning_rate`",
    ]
    assert "metrics.`answer/median length`" in columns
    sections = json.loads(view["state"])["compareRunSections"]
    assert [each["name"] for each in sections if each["display"]][1] == (
        "What differs between the specs"
    )


def test_the_note_above_the_runs_says_which_won_unless_somebody_changed_it(
    tracked_run: Any, judged_workspace: Any, send: Send, client: MlflowClient
) -> None:
    from mlflow import MlflowClient

    judged = MlflowClient(f"sqlite:///{judged_workspace / 'mlflow.db'}")
    assert judged.get_experiment("1").tags["mlflow.note.content"] == (
        "Highest win rate: kto-b0.1-s2 0.716 [0.658, 0.769] (length-controlled 0.702 [0.640, "
        "0.758]), then dpo-b0.1-s2 0.690 [0.630, 0.745] (length-controlled 0.584 [0.517, 0.648]). "
        "Runs of the recipe toy: same data, same judge, so that they can be compared."
    )
    tracked_run.write_whole()
    send(stop=3)
    assert client.get_experiment("1").tags["mlflow.note.content"].startswith("Runs of the recipe")
    client.set_experiment_tag("1", "mlflow.note.content", "mine")
    send()
    assert client.get_experiment("1").tags["mlflow.note.content"] == "mine"


def test_the_view_is_left_out_with_one_line_for_other_versions_and_no_link_names_it(
    tracked_run: Any,
    send: Send,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import mlflow

    monkeypatch.setattr(mlflow, "__version__", "4.0.1")
    tracked_run.write_whole()
    told = send().describe()
    assert view_of(client) is None
    assert "viewStateShareKey" not in json.dumps(told)
    assert [record.getMessage() for record in caplog.records if "view" in record.getMessage()] == [
        "mlflow: the saved view 'halo' is left out: it was tested with MLflow 3.17, and this is "
        "4.0.1"
    ]


@pytest.mark.parametrize(("stages", "packed"), [(3, False), (200, True), (5000, True)])
def test_the_tag_of_any_number_of_stages_is_short_enough(stages: int, packed: bool) -> None:
    metrics = [f"upstream.s{hash((i, 'x'))}/train/loss" for i in range(stages)]
    text = view_text("halo", page_state(metrics, ["stages.kto.loss.beta"], ""), 1, 2)
    assert len(text) <= LONGEST_TAG
    assert is_own(text)
    written = json.loads(text)["state"]
    assert written.startswith("deflate;") == packed or stages == 5000
    if written.startswith("deflate;"):
        written = zlib.decompress(base64.b64decode(written.removeprefix("deflate;"))).decode()
    assert json.loads(written)["searchFilter"] == ""
