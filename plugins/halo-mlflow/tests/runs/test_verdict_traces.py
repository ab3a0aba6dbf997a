"""Each verdict is a trace: prompt, texts, the judge's words in each order, calls and cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from found_runs import only_run

from halo_core.errors import HaloError
from halo_core.workspace.records import STAGE, ComponentRecord, StageRecord
from halo_mlflow.options import MLflow
from halo_mlflow.runs.traces import read_judge

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Trace

ORDERS = [
    {"order": "AB", "winner": "A", "reason": "A is kind", "calls": 1, "cost": 0.01},
    {"order": "BA", "winner": "B", "reason": "B is kind", "calls": 2, "cost": 0.02},
]
PAID = {"use": "gpt-4", "model": "gpt-4o", "api_key_env": "KEY", "base_url": "https://x/v1"}


def judge_with(run: Any, judge: Any, orders: list[dict[str, Any]], **metrics: float) -> None:
    """Writes a run whose judge stage has one verdict, and the event of its end."""
    folder = run.workspace / "stages" / "win"
    verdict = json.loads((folder / "verdicts.jsonl").read_text())
    (folder / "verdicts.jsonl").write_text(json.dumps({**verdict, "orders": orders}) + "\n")
    options = {name: value for name, value in judge.items() if name != "use"}
    judging = {"kind": "judge", "name": judge["use"], "options": options}
    whence = {"distribution": "", "version": "", "origin": "", "source": ""}
    told = {"kind": "stage", "name": "judge", "options": {}, **whence}
    STAGE.write(
        folder,
        StageRecord(
            id="win",
            key="win",
            seed=0,
            stage={"use": "judge", "referee": judge},
            models={},
            inputs={},
            data={},
            cache="",
            events="",
            identity={},
            components=[ComponentRecord(**told), ComponentRecord(**judging, **whence)],
        ),
    )
    run.start()
    run.end_stage("win", win=0.6, win_lo=0.5, win_hi=0.7, unscored_share=0.0, **metrics)


@pytest.fixture
def only_trace(client: MlflowClient) -> Any:
    def find() -> Trace:
        experiments = [each.experiment_id for each in client.search_experiments()]
        (trace,) = client.search_traces(locations=experiments)
        return trace

    return find


@pytest.fixture
def paid(tracked_run: Any, send: Any, only_trace: Any) -> Trace:
    judge_with(tracked_run, PAID, ORDERS, calls=3, cost=0.03)
    send()
    trace: Trace = only_trace()
    return trace


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


def test_a_paid_judge_is_the_source_by_its_model(paid: Trace) -> None:
    (verdict,) = paid.info.assessments
    assert (verdict.source.source_type, verdict.source.source_id) == ("LLM_JUDGE", "gpt-4o")
    assert verdict.rationale == "AB: A: A is kind\nBA: B: B is kind"
    assert verdict.metadata["judge"] == "gpt-4"
    assert verdict.metadata["model"] == "gpt-4o"
    assert verdict.metadata["calls"] == "3"
    assert float(verdict.metadata["mlflow.assessment.judgeCost"]) == pytest.approx(0.03)


def test_a_trace_has_the_cost_that_mlflow_shows(paid: Trace) -> None:
    cost = json.loads(paid.info.trace_metadata["mlflow.trace.cost"])
    assert cost["total_cost"] == pytest.approx(0.03)
    # The pages of MLflow 3.17 show no cost that lacks one of the three.
    assert set(cost) == {"input_cost", "output_cost", "total_cost"}


def test_each_order_is_a_span_with_both_texts_as_shown_the_words_and_the_cost(paid: Trace) -> None:
    root, *orders = paid.data.spans
    assert root.parent_id is None
    assert root.inputs == {"prompt": "Hello?"}
    assert root.outputs == {"completion": "Hi", "baseline": "Hi!"}
    first, second = orders
    assert (first.name, second.name) == ("gpt-4 AB", "gpt-4 BA")
    assert first.inputs == {"A": "Hi", "B": "Hi!"}
    assert second.inputs == {"A": "Hi!", "B": "Hi"}
    assert second.outputs == {"winner": "B", "reason": "B is kind", "calls": 2, "cost": 0.02}
    for span, dollars in ((first, 0.01), (second, 0.02)):
        assert span.parent_id == root.span_id
        assert span.span_type == "LLM"
        assert span.attributes["mlflow.llm.model"] == "gpt-4o"
        assert span.attributes["mlflow.llm.cost"]["total_cost"] == dollars


def test_of_the_judges_options_only_the_model_is_sent(paid: Trace) -> None:
    sent = json.dumps(paid.to_dict())
    assert "gpt-4o" in sent
    assert "api_key" not in sent
    assert "https://x/v1" not in sent


def test_sending_again_changes_neither_spans_nor_cost(
    paid: Trace, send: Any, only_trace: Any
) -> None:
    send()
    again = only_trace()
    assert [s.span_id for s in again.data.spans] == [s.span_id for s in paid.data.spans]
    assert (
        again.info.trace_metadata["mlflow.trace.cost"]
        == (paid.info.trace_metadata["mlflow.trace.cost"])
    )
    assert len(again.info.assessments) == 1


def test_a_judge_that_is_not_paid_is_code_and_costs_nothing(
    tracked_run: Any, send: Any, only_trace: Any
) -> None:
    orders = [{"order": "AB", "winner": "A", "reason": "longer"}]
    judge_with(tracked_run, {"use": "longest"}, orders)
    send()
    trace = only_trace()
    (verdict,) = trace.info.assessments
    assert (verdict.source.source_type, verdict.source.source_id) == ("CODE", "longest")
    assert verdict.metadata == {"flip": "false", "judge": "longest"}
    assert "mlflow.trace.cost" not in trace.info.trace_metadata
    assert trace.data.spans[1].span_type == "EVALUATOR"


def test_a_cost_that_is_not_known_is_not_shown(
    tracked_run: Any, send: Any, only_trace: Any
) -> None:
    first, second = ORDERS
    unpriced = {name: value for name, value in second.items() if name != "cost"}
    judge_with(tracked_run, PAID, [first, unpriced], calls=3)
    send()
    trace = only_trace()
    assert "mlflow.trace.cost" not in trace.info.trace_metadata
    assert all("mlflow.llm.cost" not in span.attributes for span in trace.data.spans)
    assert "mlflow.assessment.judgeCost" not in trace.info.assessments[0].metadata


def test_the_run_has_win_rate_interval_unscored_share_calls_and_cost_as_metrics(
    paid: Trace, client: MlflowClient
) -> None:
    metrics = client.get_run(paid.info.trace_metadata["mlflow.sourceRun"]).data.metrics
    wanted = {"win rate low": 0.5, "win rate high": 0.7, "share unscored": 0.0}
    wanted |= {"paid requests": 3, "cost in dollars": 0.03}
    assert {name: metrics[f"bench/{name}"] for name in wanted} == wanted
    assert metrics["answer/win rate"] == 0.6


def test_a_stage_without_a_record_is_named_by_its_folder(tracked_run: Any) -> None:
    judge = read_judge(tracked_run.workspace / "stages" / "win", {})
    assert (judge.id, judge.paid) == ("win", False)


def test_the_comparison_opens_the_runs_that_the_store_has(tracked_run: Any, send: Any) -> None:
    tracker = MLflow()
    tracked_run.write_whole()
    told = send().describe()
    other = tracked_run.folder.with_name("other-1")
    other.mkdir()
    state = json.loads((tracked_run.folder / "mlflow.json").read_text())
    (store,) = state["stores"].values()
    store |= {"run_id": "abc", "experiment_id": "9"}
    (other / "mlflow.json").write_text(json.dumps(state))
    gone = tracked_run.folder.with_name("gone-2")
    found = tracker.compare_runs([tracked_run.folder, other, gone], tracked_run.workspace)
    first = told["run_id"]
    assert found["url"] == (
        "http://127.0.0.1:5000/#/compare-runs"
        f"?runs=%5B%22{first}%22%2C%22abc%22%5D&experiments=%5B%221%22%2C%229%22%5D"
        "&workflowType=machine_learning&viewStateShareKey=halo"
    )
    assert found["absent"] == [str(gone)]
    assert str(found["ui"]).startswith("halo ui --workspace ")


def test_one_run_alone_has_no_comparison(tracked_run: Any, send: Any) -> None:
    tracked_run.write_whole()
    send()
    gone = tracked_run.folder.with_name("gone-2")
    found = MLflow().compare_runs([tracked_run.folder, gone], tracked_run.workspace)
    store = f"sqlite:///{tracked_run.workspace / 'mlflow.db'}"
    assert found == {"label": "MLflow", "store": store, "absent": [str(gone)]}


def test_a_run_is_kept_until_it_is_deleted(
    tracked_run: Any, send: Any, client: MlflowClient
) -> None:
    tracker = MLflow()
    assert not tracker.has_run(tracked_run.folder, tracked_run.workspace)
    assert not tracker.mark_deleted(tracked_run.folder, tracked_run.workspace)
    tracked_run.write_whole()
    run_id = send().describe()["run_id"]
    assert tracker.has_run(tracked_run.folder, tracked_run.workspace)
    assert tracker.mark_deleted(tracked_run.folder, tracked_run.workspace)
    assert tracker.mark_deleted(tracked_run.folder, tracked_run.workspace)
    assert not tracker.has_run(tracked_run.folder, tracked_run.workspace)
    # It is marked and not purged.
    client.restore_run(run_id)
    assert tracker.has_run(tracked_run.folder, tracked_run.workspace)
    (tracked_run.workspace / "mlflow.db").unlink()
    assert not tracker.has_run(tracked_run.folder, tracked_run.workspace)
    assert not (tracked_run.workspace / "mlflow.db").exists()


def test_a_server_out_of_reach_keeps_no_run(tracked_run: Any) -> None:
    tracker = MLflow(uri="http://127.0.0.1:9", timeout_s=1)
    state = {"stores": {"http://127.0.0.1:9": {"run_id": "abc", "experiment_id": "1"}}}
    (tracked_run.folder / "mlflow.json").write_text(json.dumps(state))
    assert not tracker.has_run(tracked_run.folder, tracked_run.workspace)
    with pytest.raises(HaloError, match=r"^http://127\.0\.0\.1:9: "):
        tracker.mark_deleted(tracked_run.folder, tracked_run.workspace)
