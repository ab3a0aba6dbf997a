"""The file `verdicts.jsonl`: one object per prompt, written while the judge works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from halo_core.judge import Verdict
from halo_core.workspace.records import VERDICTS, OrderVerdict, VerdictLine
from halo_judge.judge_stage.duels import Duel
from halo_judge.judge_stage.kept_lines import KeptLines
from halo_judge.judge_stage.orders import Order, comparison_id, rule


def verdict_line(
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
    line = VerdictLine(
        prompt_id=duel.prompt_id,
        prompt=duel.prompt,
        completion=duel.completion,
        baseline=duel.baseline,
        result=ruling.result,
        flip=ruling.flip,
        orders=[_order_verdict(o, verdicts[comparison_id(duel, o)]) for o in orders],
    )
    if lengths:
        line |= {"tokens": duel.tokens, "baseline_tokens": duel.baseline_tokens}
    return line


def _order_verdict(order: Order, verdict: Verdict) -> OrderVerdict:
    part = OrderVerdict(order=order, winner=verdict.winner, reason=verdict.reason)
    # Left out and not null: a judge that is free, or never says how sure it is, has no such column.
    if verdict.preference is not None:
        part["preference"] = verdict.preference
    if verdict.calls:
        part["calls"] = verdict.calls
    if verdict.cost is not None:
        part["cost"] = verdict.cost
    return part


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
    by_prompt = {duel.prompt_id: duel for duel in duels}

    def holds(line: VerdictLine) -> bool:
        duel = by_prompt.get(line["prompt_id"])
        return (
            duel is not None
            and line["result"] != "unscored"
            and (line["completion"], line["baseline"]) == (duel.completion, duel.baseline)
            and [part["order"] for part in line["orders"]] == list(orders[duel.prompt_id])
        )

    return KeptLines(VERDICTS, folder / VERDICTS.name, "prompt_id", holds)


def first_failure(lines: Iterable[VerdictLine]) -> str:
    """Returns why the first comparison that is unscored has no verdict; "" where all have one."""
    reasons = (
        part["reason"]
        for line in lines
        if line["result"] == "unscored"
        for part in line["orders"]
        if part["winner"] is None
    )
    return next(reasons, "")
