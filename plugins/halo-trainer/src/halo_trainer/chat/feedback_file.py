"""The feedback that a person gives in a conversation, as rows that a data source reads back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import Message


class FeedbackFiles:
    """Files that rows are appended to, one for each kind of feedback.

    Args:
        beginning: The files' path without its ending.

    Attributes:
        binary: Rows with `prompt`, `completion` and `label`.
        paired: Rows with `prompt`, `chosen` and `rejected`.
    """

    def __init__(self, beginning: Path) -> None:
        self.binary = beginning.with_name(f"{beginning.name}.binary.jsonl")
        self.paired = beginning.with_name(f"{beginning.name}.paired.jsonl")

    def rate(self, prompt: Sequence[Message], completion: str, *, desirable: bool) -> None:
        """Adds a thumb up or down for a completion."""
        row: dict[str, Any] = {"prompt": list(prompt), "completion": completion}
        self._append(self.binary, [row | {"label": desirable}])

    def choose(self, prompt: Sequence[Message], chosen: str, rejected: str) -> None:
        """Adds a choice between two completions, as a pair and as two labelled completions."""
        row = {"prompt": list(prompt), "chosen": chosen, "rejected": rejected}
        self._append(self.paired, [row])
        self.rate(prompt, chosen, desirable=True)
        self.rate(prompt, rejected, desirable=False)

    @staticmethod
    def _append(file: Path, rows: Sequence[dict[str, Any]]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
