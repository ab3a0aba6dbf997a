"""A stage that leaves long completions out of some rows, for a later stage that trains on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from halo_core import DataRef, Feedback, Stage, StageContext, StageResult

OUTPUT = "feedback.jsonl"
"""The file in which later stages find feedback."""

LEFT_OUT = ("prompt_id", "source")
"""Columns that the runner adds to every row that a stage reads."""


class OakStage(Stage):
    """Keeps the demonstrations whose completion has at most some number of words."""

    produces = "feedback"
    seeded = False

    rows: DataRef = Field(description="Demonstrations.")
    max_words: int = Field(default=50, ge=1, description="Most words that a completion may have.")

    def feedback_given(self) -> Feedback:
        """Returns the kind of the rows that it writes."""
        return "demonstration"

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        """Returns the kind of the rows that it reads; the core converts other kinds."""
        return {"rows": "demonstration"}

    def run(self, context: StageContext) -> StageResult:
        """Writes the rows that it keeps, and returns their number and that of the others.

        Raises:
            Interrupted: When it was asked to stop. It then begins again.
        """
        kept: list[dict[str, Any]] = []
        rows = context.data["rows"]
        for row in rows:
            if context.stop.is_set():
                context.stop.raise_interrupted("nothing is kept; the stage will begin again")
            if len(row["completion"].split()) <= self.max_words:
                kept.append({name: row[name] for name in row if name not in LEFT_OUT})
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        (context.folder / OUTPUT).write_text("".join(lines), encoding="utf-8")
        context.events.append("feedback", stage=context.id, path=OUTPUT, count=len(kept))
        long = len(rows) - len(kept)
        headline = f"kept {len(kept)} rows, left out {long} of more than {self.max_words} words"
        return StageResult({"kept": len(kept), "left_out": long}, headline)
