"""The results of the measurements as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SPEED_COLUMNS = {
    "tokens_per_s": "tokens/s",
    "s_per_step": "s/step",
    "mfu": "MFU",
    "of_matrix_rate": "of the matrix rate",
    "peak_gb": "peak GB",
    "rows_at_once": "rows at once",
}
"""Columns of the table of speeds by their names in the results."""


def write_table(path: Path, results: Sequence[Mapping[str, Any]], *, tiny: bool) -> None:
    """Writes the page.

    Args:
        path: The file.
        results: The results of the measurements, in order.
        tiny: Whether the models were tiny, so that the speeds mean nothing.
    """
    lines = ["# On a GPU", ""]
    if tiny:
        lines += ["The models were tiny, to try the script. The speeds mean nothing.", ""]
    for result in results:
        if "tokens_per_s" not in result:
            lines += [f"* **{result['name']}**: {_facts(result)}"]
    speeds = [result for result in results if "tokens_per_s" in result]
    if speeds:
        lines += ["", f"| training | {' | '.join(SPEED_COLUMNS.values())} | TRL takes |"]
        lines += ["|" + "---|" * (len(SPEED_COLUMNS) + 2)]
        lines += [_row(result, speeds) for result in speeds]
        lines += [
            "",
            "halo chooses its number of tokens; TRL gets a number of rows.",
        ]
        lines += [
            f"* **{result['name']}** warned: {warning}"
            for result in speeds
            for warning in result.get("warnings", ())
        ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _facts(result: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in result.items() if name != "name"}
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in facts.items())


def _row(result: Mapping[str, Any], speeds: Sequence[Mapping[str, Any]]) -> str:
    cells = [_text(result.get(name)) for name in SPEED_COLUMNS]
    other = f"{result['name'].rpartition(' ')[0]} TRL"
    trl = next((each for each in speeds if each["name"] == other), None)
    ratio = "" if trl is None else f"{trl['s_per_step'] / result['s_per_step']:.2f}x"
    return f"| {result['name']} | {' | '.join(cells)} | {ratio} |"


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)
