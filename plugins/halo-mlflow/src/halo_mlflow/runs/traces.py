"""Sends verdicts as MLflow traces: one per prompt, with the verdict and its reasons as feedback.

This is the only page of MLflow that shows two runs' completions of a prompt side by side. The root
span's inputs are only the prompt, because MLflow's comparison of runs joins on them. Below it is
one span for each order of the texts, with the judge's words, its model and the cost.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.hashing import short_hash
from halo_core.workspace.records import STAGE, OrderVerdict, VerdictLine
from halo_mlflow.runs.artifacts import prompt_text

if TYPE_CHECKING:
    from mlflow.entities import Assessment, Span, TraceInfo
    from opentelemetry.trace import SpanContext

PREVIEW = 1000
SCHEMA_VERSION = "3"
MODEL, COST = "mlflow.llm.model", "mlflow.llm.cost"
AT_ONCE = 50
"""Number of verdicts whose spans are sent together. One by one takes four times as long."""


@dataclass(frozen=True)
class JudgeSource:
    """The judge of a stage, in the form that traces show.

    Attributes:
        name: The component's name.
        model: The model that the judge asks; "" if it has none.
        paid: Whether each request costs money, according to the stage's final numbers.
    """

    name: str
    model: str = ""
    paid: bool = False

    @property
    def id(self) -> str:
        """MLflow's id of the source: the model of a paid judge, else the judge."""
        return self.model if self.paid and self.model else self.name


def read_judge(stage: Path, metrics: Mapping[str, Any]) -> JudgeSource:
    """Returns the judge of a stage, with the name of the stage's folder if none is recorded.

    Args:
        stage: The stage's folder. Its `stage.json` has the judge with its options.
        metrics: The stage's final numbers; those of a paid judge have `calls`.
    """
    record = STAGE.read(stage)
    components = record.get("components", []) if record else []
    judge = next((component for component in components if component["kind"] == "judge"), None)
    name, options = (judge["name"], judge["options"]) if judge else (stage.name, {})
    return JudgeSource(name, str(options.get("model") or ""), "calls" in metrics)


@dataclass(frozen=True)
class TraceTarget:
    """The run and stage that traces belong to.

    Attributes:
        uri: The tracking URI, with credentials.
        experiment: MLflow's id of the experiment.
        run_id: MLflow's id of the run.
        stage: The judge stage.
        time_s: Time at which the stage ended, in Unix seconds.
        judge: The judge of the stage.
    """

    uri: str
    experiment: str
    run_id: str
    stage: str
    time_s: float
    judge: JudgeSource


def send_verdicts(target: TraceTarget, verdicts: Iterable[VerdictLine], limit: int) -> None:
    """Sends verdicts as traces. Sending a verdict again replaces its trace.

    Args:
        target: The run and stage that they belong to.
        verdicts: The objects of a `verdicts.jsonl`.
        limit: Maximum number of traces. Order flips and unscored verdicts come first.
    """
    from mlflow.tracing.client import TracingClient

    client, moment = TracingClient(target.uri), int(target.time_s * 1e9)
    chosen = heapq.nsmallest(limit, verdicts, key=_urgency)
    for start in range(0, len(chosen), AT_ONCE):
        spans: list[Span] = []
        for verdict in chosen[start : start + AT_ONCE]:
            id_ = trace_id(target, verdict["prompt_id"])
            client.start_trace(_info(target, verdict, id_))
            spans += verdict_spans(verdict, id_, target.stage, target.judge, moment)
        client.log_spans(target.experiment, spans)


def trace_id(target: TraceTarget, prompt_id: str) -> str:
    """Returns MLflow's id of the trace of a prompt. It is the same each time the trace is sent."""
    text = f"{target.run_id} {target.stage} {prompt_id}"
    return f"tr-{short_hash(text, 32)}"


def rationale(verdict: VerdictLine) -> str:
    """Returns the judge's reasons, one line per order.

    >>> rationale({"orders": [{"order": "AB", "winner": "A", "reason": "shorter"}]})
    'AB: A: shorter'
    """
    lines = [
        f"{order['order']}: {order['winner'] or 'unscored'}: {order['reason']}"
        for order in verdict["orders"]
    ]
    return "\n".join(line.removesuffix(": ") for line in lines)


def _urgency(verdict: VerdictLine) -> int:
    if verdict["flip"]:
        return 0
    return 1 if verdict["result"] == "unscored" else 2


def _info(target: TraceTarget, verdict: VerdictLine, id_: str) -> TraceInfo:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    return TraceInfo(
        trace_id=id_,
        trace_location=TraceLocation.from_experiment_id(target.experiment),
        request_time=int(target.time_s * 1000),
        execution_duration=0,
        state=TraceState.OK,
        request_preview=prompt_text(verdict["prompt"])[:PREVIEW],
        response_preview=verdict["completion"][:PREVIEW],
        trace_metadata={
            "mlflow.sourceRun": target.run_id,
            "mlflow.trace_schema.version": SCHEMA_VERSION,
            **_trace_cost(verdict),
        },
        tags={"mlflow.traceName": target.stage, "halo.prompt_id": verdict["prompt_id"]},
        assessments=[_feedback(target, verdict, id_)],
    )


def _feedback(target: TraceTarget, verdict: VerdictLine, id_: str) -> Assessment:
    from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

    moment, judge = int(target.time_s * 1000), target.judge
    feedback = Feedback(
        name="verdict",
        value=verdict["result"],
        rationale=rationale(verdict),
        source=AssessmentSource(
            AssessmentSourceType.LLM_JUDGE if judge.paid else AssessmentSourceType.CODE, judge.id
        ),
        metadata=_feedback_facts(verdict, judge),
        trace_id=id_,
        create_time_ms=moment,
        last_update_time_ms=moment,
    )
    feedback.assessment_id = f"a-{id_.removeprefix('tr-')}"  # Otherwise it would appear twice.
    return feedback


def _trace_cost(verdict: VerdictLine) -> dict[str, str]:
    """Returns the cost that the list of traces shows; nothing for a judge that is not paid."""
    cost = cost_of(verdict)
    return {} if cost is None else {"mlflow.trace.cost": json.dumps(cost_split(cost))}


def _feedback_facts(verdict: VerdictLine, judge: JudgeSource) -> dict[str, str]:
    facts = {"flip": str(verdict["flip"]).lower(), "judge": judge.name}
    if judge.model:
        facts["model"] = judge.model
    if judge.paid:
        facts["calls"] = str(calls_of(verdict))
    cost = cost_of(verdict)
    if cost is not None:
        facts["mlflow.assessment.judgeCost"] = str(cost)
    return facts


def cost_of(verdict: VerdictLine) -> float | None:
    """Returns the cost of all orders of a verdict in dollars; None if one is not known.

    >>> cost_of({"orders": [{"calls": 1, "cost": 0.25}, {"calls": 1, "cost": 0.5}]})
    0.75
    """
    paid = [order for order in verdict["orders"] if order.get("calls")]
    costs = [order["cost"] for order in paid if order.get("cost") is not None]
    return fsum(costs) if costs and len(costs) == len(paid) else None


def cost_split(dollars: float) -> dict[str, float]:
    """Returns a cost in MLflow's form. MLflow shows no cost without all three parts.

    The shares of input and output are not recorded, so both are 0.
    """
    return {"input_cost": 0.0, "output_cost": 0.0, "total_cost": dollars}


def calls_of(verdict: VerdictLine) -> int:
    """Returns the number of paid requests for a verdict."""
    return sum(int(order.get("calls") or 0) for order in verdict["orders"])


def verdict_spans(
    verdict: VerdictLine, trace_id: str, stage: str, judge: JudgeSource, moment_ns: int
) -> list[Span]:
    """Returns the root span of a verdict and one for each order.

    Args:
        verdict: A line of `verdicts.jsonl`.
        trace_id: MLflow's id of the trace.
        stage: The judge stage, whose id is the root's name.
        judge: The judge of the stage.
        moment_ns: Time of the spans, in nanoseconds.
    """
    number = int(trace_id.removeprefix("tr-"), 16)
    texts = {"completion": verdict["completion"], "baseline": verdict.get("baseline")}
    root = _context(number, "")
    spans = [
        _span(
            stage,
            root,
            None,
            {
                "mlflow.traceRequestId": trace_id,
                "mlflow.spanType": "EVALUATOR",
                "mlflow.spanInputs": {"prompt": prompt_text(verdict["prompt"])},
                "mlflow.spanOutputs": texts,
            },
            moment_ns,
        )
    ]
    for order_verdict in verdict["orders"]:
        order = str(order_verdict["order"])
        values = {"mlflow.traceRequestId": trace_id, **_order_values(order_verdict, texts, judge)}
        if cost_of(verdict) is not None:  # MLflow would show a part of the cost as the whole.
            values |= _cost_value(order_verdict)
        spans.append(
            _span(f"{judge.name} {order}", _context(number, order), root, values, moment_ns)
        )
    return spans


def _order_values(
    order_verdict: OrderVerdict, texts: Mapping[str, Any], judge: JudgeSource
) -> dict[str, Any]:
    shown = list(texts.values()) if order_verdict["order"] == "AB" else list(texts.values())[::-1]
    outputs = {key: value for key, value in order_verdict.items() if key != "order"}
    values: dict[str, Any] = {
        "mlflow.spanType": "LLM" if judge.paid else "EVALUATOR",
        "mlflow.spanInputs": dict(zip("AB", shown, strict=True)),
        "mlflow.spanOutputs": outputs,
    }
    if judge.paid and judge.model:
        values[MODEL] = judge.model
    return values


def _cost_value(order_verdict: OrderVerdict) -> dict[str, Any]:
    return {} if order_verdict.get("cost") is None else {COST: cost_split(order_verdict["cost"])}


def _context(trace: int, name: str) -> SpanContext:
    """Returns a span's ids. They are the same each time the span is sent."""
    from opentelemetry.trace import SpanContext, TraceFlags

    digest = short_hash(f"{trace:x} {name}", 64)
    span = int(digest[:16], 16) if name else trace >> 64
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(1))


def _span(
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    values: Mapping[str, Any],
    moment_ns: int,
) -> Span:
    from mlflow.entities import Span
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    return Span(
        ReadableSpan(
            name=name,
            context=context,
            parent=parent,
            resource=Resource.get_empty(),  # Detecting the process takes 1 ms per span.
            attributes={key: json.dumps(value) for key, value in values.items()},
            start_time=moment_ns,
            end_time=moment_ns,
        )
    )
