"""Prints `halo judge --dry-run`: requests, tokens and dollars per judge, without asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from halo_core.cli.output import Output
from halo_core.cli.terminal import table
from halo_core.workspace.layout import Workspace
from halo_judge.command.verdict_store import JudgeWork
from halo_judge.judge_stage.cost import dollars, quote_of
from halo_judge.judges.chat.prices import SHIPPED


def quote_rows(works: Iterable[JudgeWork], workspace: Workspace) -> list[dict[str, Any]]:
    """Returns one row per judge, with the sums over all its work.

    `calls` is the number of requests to pay for, `kept` the number of comparisons that already have
    a verdict. `cost` is in dollars, None if a price is not known, and 0 for a free judge.
    """
    by_judge: dict[str, list[JudgeWork]] = {}
    for work in works:
        by_judge.setdefault(work.judge.label, []).append(work)
    return [_row(label, of_judge, workspace) for label, of_judge in by_judge.items()]


def _row(label: str, works: Sequence[JudgeWork], workspace: Workspace) -> dict[str, Any]:
    judge, asked = works[0].judge.judge, [shown for work in works for shown in work.comparisons()]
    row: dict[str, Any] = {"judge": label, "model": None, "comparisons": len(asked)}
    quote = quote_of(judge, asked, workspace.cache)
    if quote is None:
        kept = sum(work.kept_comparisons(workspace) for work in works)
        return row | {"kept": kept, "calls": 0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0}
    return row | asdict(quote)


def say_quotes(output: Output, about: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows of `quote_rows`, or outputs them as JSON with the subject of the work."""
    output.emit({**about, "quotes": rows})
    for line in quote_lines(rows):
        output.say(line)


def quote_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the rows as a table, and the source of the prices."""
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
            "unknown" if row["cost"] is None else dollars(row["cost"]),
        ]
        for row in rows
    ]
    lines = [table(header, cells)]
    if any(row["model"] for row in rows):
        sources = {row["prices"]: None for row in rows if row["model"] and row["prices"]}
        lines += [
            "",
            "Tokens sent are about a quarter of the bytes; replies and dollars are upper bounds.",
            *(f"{source[0].upper()}{source[1:]}." for source in sources),
            f"The shipped prices: {SHIPPED}; your own: --set judge.prices=FILE",
        ]
    return lines
