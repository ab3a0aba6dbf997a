"""The cells of a suite as a table: how each ended, and its final numbers by their MLflow names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halo_core.redact import redact
from halo_core.workspace.records import RUN, SuiteCell, SuiteRecord, stage_done
from halo_mlflow.keys import final_key, plain_stages

NOTE_ROWS = 100
_JUDGED = ("bench/win", "bench/win_lo", "bench/win_hi", "bench/n")


def cell_table(workspace: Path, record: SuiteRecord) -> dict[str, Any]:
    """Returns the cells in MLflow's table format.

    Args:
        workspace: The workspace.
        record: What the suite's `suite.json` holds.
    """
    cells = record["cells"]
    numbers = [final_numbers(workspace, cell) for cell in cells]
    keys = sorted({key for found in numbers for key in found}, key=_order)
    axes = list(record["axes"])
    rows: list[list[Any]] = [
        [cell["id"], *(cell["axes"].get(axis) for axis in axes), cell["status"]]
        + [found.get(key) for key in keys]
        for cell, found in zip(cells, numbers, strict=True)
    ]
    return {"columns": ["cell", *axes, "status", *keys], "data": rows}


def _order(key: str) -> tuple[int, str]:
    return (_JUDGED.index(key) if key in _JUDGED else len(_JUDGED), key)


def final_numbers(workspace: Path, cell: SuiteCell) -> dict[str, float]:
    """Returns the final numbers of a cell's last train, sample and judge stages."""
    if cell["run"] is None:
        return {}
    record = RUN.read(workspace / cell["run"])
    stages = record.get("stages", []) if record else []
    plain = plain_stages(stages)
    found: dict[str, float] = {}
    for stage in stages:
        if stage["id"] not in (plain.method, plain.judge, plain.sample):
            continue
        done = stage_done(workspace / stage["folder"])
        for name, value in (done["metrics"] if done else {}).items():
            key = final_key(plain, stage["id"], stage["product"], name)
            if key is not None:
                found[key] = value
    return found


def note(suite: Path, record: SuiteRecord) -> str:
    """Returns the description of a suite's run: how many cells are how far, and their results."""
    cells = record["cells"]
    counts = Counter(cell["status"] for cell in cells)
    counted = ", ".join(f"{n} {status}" for status, n in counts.items())
    table = cell_table(suite.parent.parent, record)
    shown = [c for c in table["columns"] if c in ("cell", "status", *_JUDGED)]
    places = [table["columns"].index(column) for column in shown]
    lines = [f"**{len(cells)} cells: {counted}**", "", _line(shown), _line(["---"] * len(shown))]
    begun = [row for row in table["data"] if row[table["columns"].index("status")] != "pending"]
    for row in begun[:NOTE_ROWS]:
        lines.append(_line([_text(row[place]) for place in places]))
    errors = [f"* {c['id']}: {redact(c['error']['message'] or '')}" for c in cells if c["error"]]
    return "\n".join([*lines, "", *errors]).strip()


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
