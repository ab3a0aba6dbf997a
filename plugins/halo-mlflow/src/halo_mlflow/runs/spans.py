"""The spans of a verdict's trace: the prompt with both texts, and below it what the judge said.

The root's inputs are the prompt and nothing else: MLflow's comparison of runs joins on them. Below
it is a span per order in which the texts were shown, with the judge's words, its model and cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.hashing import short_hash
from halo_core.workspace.records import STAGE, OrderVerdict, VerdictLine
from halo_mlflow.runs.artifacts import prompt_text

if TYPE_CHECKING:
    from mlflow.entities import Span
    from opentelemetry.trace import SpanContext

MODEL, COST = "mlflow.llm.model", "mlflow.llm.cost"


@dataclass(frozen=True)
class JudgeSource:
    """The judge of a stage, as traces show it.

    Attributes:
        name: The component's name.
        model: The model that it asks; "" where it has none.
        paid: Whether it is paid by request, as the stage's final numbers say.
    """

    name: str
    model: str = ""
    paid: bool = False

    @property
    def id(self) -> str:
        """What MLflow calls the source: the model of a paid judge, else the judge."""
        return self.model if self.paid and self.model else self.name


def read_judge(stage: Path, metrics: Mapping[str, Any]) -> JudgeSource:
    """Returns the judge of a stage; named by the stage's folder where nothing is recorded.

    Args:
        stage: The stage's folder, whose `stage.json` has the judge with its options.
        metrics: The stage's final numbers; those of a paid judge have `calls`.
    """
    record = STAGE.read(stage)
    components = record.get("components", []) if record else []
    judge = next((component for component in components if component["kind"] == "judge"), None)
    name, options = (judge["name"], judge["options"]) if judge else (stage.name, {})
    return JudgeSource(name, str(options.get("model") or ""), "calls" in metrics)


def verdict_spans(
    verdict: VerdictLine, trace_id: str, stage: str, judge: JudgeSource, moment_ns: int
) -> list[Span]:
    """Returns the root span of a verdict and one for each order.

    Args:
        verdict: A line of `verdicts.jsonl`.
        trace_id: MLflow's id of the trace.
        stage: The judge stage, which names the root.
        judge: Who judged.
        moment_ns: When, in nanoseconds.
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
        if cost_of(verdict) is not None:  # MLflow would take the sum of a part for the whole.
            values |= _cost_value(order_verdict)
        spans.append(
            _span(f"{judge.name} {order}", _context(number, order), root, values, moment_ns)
        )
    return spans


def cost_of(verdict: VerdictLine) -> float | None:
    """Returns the dollars that all orders of a verdict cost; None where one is not known.

    >>> cost_of({"orders": [{"calls": 1, "cost": 0.25}, {"calls": 1, "cost": 0.5}]})
    0.75
    """
    paid = [order for order in verdict["orders"] if order.get("calls")]
    costs = [order["cost"] for order in paid if order.get("cost") is not None]
    return fsum(costs) if costs and len(costs) == len(paid) else None


def cost_split(dollars: float) -> dict[str, float]:
    """Returns a cost as MLflow takes it; it shows none without all three parts.

    What of it was for input and what for output is not recorded: both are 0.
    """
    return {"input_cost": 0.0, "output_cost": 0.0, "total_cost": dollars}


def calls_of(verdict: VerdictLine) -> int:
    """Returns the paid requests behind a verdict."""
    return sum(int(order.get("calls") or 0) for order in verdict["orders"])


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
    """Returns a span's ids: the same whenever it is sent."""
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
            resource=Resource.get_empty(),  # Or each span would ask what runs here: a ms each.
            attributes={key: json.dumps(value) for key, value in values.items()},
            start_time=moment_ns,
            end_time=moment_ns,
        )
    )
