"""The file `verdicts.jsonl`: one object per prompt, written while the judge works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from halo_core.judge import Verdict
from halo_core.workspace.records import VERDICTS, OrderVerdict, VerdictLine
from halo_judge.stage.duels import Duel
from halo_judge.stage.kept_lines import KeptLines
from halo_judge.stage.orders import Order, comparison_id, rule


def make_record(
    duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict], *, lengths: bool = True
) -> VerdictLine:
    """Returns the line for a duel whose orders have all been judged.

    Args:
        duel: What was judged.
        orders: In which orders.
        verdicts: Comparison id to verdict.
        lengths: Whether the line has the numbers of tokens, which may be null; what the stage
            `label` asks has none.
    """
    ruling = rule(duel, orders, verdicts)
    said = [(order, verdicts[comparison_id(duel, order)]) for order in orders]
    record = VerdictLine(
        prompt_id=duel.prompt_id,
        prompt=duel.prompt,
        completion=duel.completion,
        baseline=duel.baseline,
        result=ruling.result,
        flip=ruling.flip,
        orders=[_order_verdict(order, verdict) for order, verdict in said],
    )
    if lengths:
        record |= {"tokens": duel.tokens, "baseline_tokens": duel.baseline_tokens}
    return record


def _order_verdict(order: Order, verdict: Verdict) -> OrderVerdict:
    found = OrderVerdict(order=order, winner=verdict.winner, reason=verdict.reason)
    if verdict.preference is not None:
        found["preference"] = verdict.preference
    if verdict.calls:
        found["calls"] = verdict.calls
    if verdict.cost is not None:
        found["cost"] = verdict.cost
    return found


def verdict_lines(
    folder: Path, duels: Iterable[Duel], orders: Mapping[str, Sequence[Order]]
) -> KeptLines[VerdictLine]:
    """Returns the file of the verdicts on some duels.

    Lines on other texts or orders do not hold, and unscored ones are asked for again.

    Args:
        folder: Where the file is, or will be.
        duels: What is judged.
        orders: Prompt id to the orders in which it is judged.
    """
    asked = {duel.prompt_id: duel for duel in duels}

    def holds(record: VerdictLine) -> bool:
        duel = asked.get(record["prompt_id"])
        return (
            duel is not None
            and record["result"] != "unscored"
            and (record["completion"], record["baseline"]) == (duel.completion, duel.baseline)
            and [said["order"] for said in record["orders"]] == list(orders[duel.prompt_id])
        )

    return KeptLines(VERDICTS, folder / VERDICTS.name, "prompt_id", holds)


def first_failure(records: Iterable[VerdictLine]) -> str:
    """Returns why the first comparison that is unscored has no verdict; "" where all have one."""
    reasons = (
        said["reason"]
        for record in records
        if record["result"] == "unscored"
        for said in record["orders"]
        if said["winner"] is None
    )
    return next(reasons, "")
