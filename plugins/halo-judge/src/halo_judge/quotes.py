"""What `halo judge --dry-run` prints: requests, tokens and dollars per judge; nothing is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from halo_core.cli.table import table
from halo_core.store import Workspace
from halo_judge.bench import Work
from halo_judge.prices import SHIPPED


def quote_rows(works: Iterable[Work], workspace: Workspace) -> list[dict[str, Any]]:
    """Returns a row per judge, over all its work.

    `calls` are requests to pay for, `kept` comparisons whose verdict is there already; `cost` is
    in dollars, None where a price is not known, and 0 for a judge that costs nothing.
    """
    rows: dict[str, dict[str, Any]] = {}
    for work in works:
        row = _row(work, workspace)
        before = rows.setdefault(work.judge.label, row)
        if before is not row:
            for key in ("comparisons", "kept", "calls", "tokens_in", "tokens_out"):
                before[key] += row[key]
            known = row["cost"] is not None and before["cost"] is not None
            before["cost"] = before["cost"] + row["cost"] if known else None
    return list(rows.values())


def _row(work: Work, workspace: Workspace) -> dict[str, Any]:
    quote = work.quote(workspace)
    asked = sum(len(orders) for orders in work.orders.values())
    row: dict[str, Any] = {"judge": work.judge.label, "model": None, "comparisons": asked}
    if quote is None:
        row["kept"] = sum(len(work.orders[id_]) for id_ in work.kept_ids(workspace))
        return row | {"calls": 0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0}
    return row | {
        "model": quote.model,
        "kept": quote.kept,
        "calls": quote.calls,
        "tokens_in": quote.tokens_in,
        "tokens_out": quote.tokens_out,
        "cost": quote.cost,
    }


def quote_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the rows as a table, and where the prices are from."""
    header = ["judge", "model", "verdicts", "kept", "requests", "tokens in", "out", "dollars"]
    cells = [
        [
            row["judge"],
            row["model"] or "-",
            str(row["comparisons"]),
            str(row["kept"]),
            str(row["calls"]),
            f"{row['tokens_in']}",
            f"{row['tokens_out']}",
            "unknown" if row["cost"] is None else f"{row['cost']:.2f}",
        ]
        for row in rows
    ]
    lines = [table(header, cells)]
    if any(row["model"] for row in rows):
        lines += [
            "",
            "Tokens sent are about a quarter of the bytes; replies and dollars are upper bounds.",
            f"Prices: {SHIPPED}; your own: --set judge.prices=FILE",
        ]
    return lines
