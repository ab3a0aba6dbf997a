"""Verdicts as MLflow traces: one per prompt, with the judge's verdict and reasons as feedback.

Of all pages of MLflow this is the one where two runs' completions stand side by side by prompt.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halo_core.hashing import short_hash
from halo_core.workspace.records import VerdictLine
from halo_mlflow.runs.artifacts import prompt_text
from halo_mlflow.runs.spans import JudgeSource, calls_of, cost_of, cost_split, verdict_spans

if TYPE_CHECKING:
    from mlflow.entities import Assessment, Span, TraceInfo


PREVIEW = 1000
SCHEMA_VERSION = "3"
AT_ONCE = 50
"""Verdicts whose spans are sent together: one by one they take four times as long."""


@dataclass(frozen=True)
class TraceTarget:
    """Where traces belong.

    Attributes:
        uri: The tracking URI, with credentials.
        experiment: MLflow's id of the experiment.
        run_id: MLflow's id of the run.
        stage: The judge stage.
        time_s: When it ended, Unix seconds.
        judge: Who judged.
    """

    uri: str
    experiment: str
    run_id: str
    stage: str
    time_s: float
    judge: JudgeSource


def send_verdicts(target: TraceTarget, verdicts: Iterable[VerdictLine], limit: int) -> None:
    """Sends verdicts as traces; sending one again replaces it.

    Args:
        target: Where they belong.
        verdicts: The objects of a `verdicts.jsonl`.
        limit: How many at most; order flips and unscored ones come first.
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
    """Returns MLflow's id of the trace of a prompt: the same whenever it is sent."""
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
    feedback.assessment_id = f"a-{id_.removeprefix('tr-')}"  # Its own, or it would come twice.
    return feedback


def _trace_cost(verdict: VerdictLine) -> dict[str, str]:
    """Returns what the list of traces shows as their cost; nothing for a judge that is not paid."""
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
