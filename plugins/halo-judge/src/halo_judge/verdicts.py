"""The file `verdicts.jsonl`: one object per prompt, written while the judge works."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from halo_core.feedback import Prompt
from halo_core.judge import Verdict, Winner
from halo_core.workspace.files import write_text
from halo_judge.orders import Order, comparison_id, rule
from halo_judge.samples import Duel
from halo_statistics.win_rate import Result

VERDICTS = "verdicts.jsonl"


class OrderVerdict(TypedDict):
    """What the judge said in one order; the last three only where the judge says them."""

    order: Order
    winner: Winner | None
    reason: str
    preference: NotRequired[float]
    calls: NotRequired[int]
    cost: NotRequired[float]


class Record(TypedDict):
    """A line of `verdicts.jsonl`. `orders` is empty where both texts are the same."""

    prompt_id: str
    prompt: Prompt
    completion: str
    baseline: str
    result: Result
    flip: bool
    orders: list[OrderVerdict]
    tokens: int | None
    baseline_tokens: int | None


def make_record(duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict]) -> Record:
    """Returns the line for a duel whose orders have all been judged.

    Args:
        duel: What was judged.
        orders: In which orders.
        verdicts: Comparison id to verdict.
    """
    ruling = rule(duel, orders, verdicts)
    said = [(order, verdicts[comparison_id(duel, order)]) for order in orders]
    return Record(
        prompt_id=duel.prompt_id,
        prompt=duel.prompt,
        completion=duel.completion,
        baseline=duel.baseline,
        result=ruling.result,
        flip=ruling.flip,
        orders=[_order_verdict(order, verdict) for order, verdict in said],
        tokens=duel.tokens,
        baseline_tokens=duel.baseline_tokens,
    )


def _order_verdict(order: Order, verdict: Verdict) -> OrderVerdict:
    found = OrderVerdict(order=order, winner=verdict.winner, reason=verdict.reason)
    if verdict.preference is not None:
        found["preference"] = verdict.preference
    if verdict.calls:
        found["calls"] = verdict.calls
    if verdict.cost is not None:
        found["cost"] = verdict.cost
    return found


def kept_records(
    path: Path, duels: Iterable[Duel], orders: Mapping[str, Sequence[Order]]
) -> dict[str, Record]:
    """Returns prompt id to the line that an earlier call left and that holds still.

    Lines on other texts or orders do not hold, and unscored ones are asked for again. A last
    line that was cut off is left out.
    """
    found = {record["prompt_id"]: record for record in _read(path)}
    return {
        duel.prompt_id: found[duel.prompt_id]
        for duel in duels
        if duel.prompt_id in found and _holds(found[duel.prompt_id], duel, orders)
    }


def _read(path: Path) -> list[Record]:
    if not path.exists():
        return []
    whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole_lines]


def _holds(record: Record, duel: Duel, orders: Mapping[str, Sequence[Order]]) -> bool:
    return (
        record["result"] != "unscored"
        and (record["completion"], record["baseline"]) == (duel.completion, duel.baseline)
        and [said["order"] for said in record["orders"]] == list(orders[duel.prompt_id])
    )


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes all lines, beside the file's place, and renames."""
    write_text(path, "".join(_line(record) for record in records))


def append_record(path: Path, record: Record) -> None:
    """Appends a whole line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
