"""The feedback that a person gives in a conversation, as rows that a data source reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import PathError
from halo_core.feedback import Message
from halo_core.known_secrets import hide_known_in
from halo_core.workspace.files import append_bytes


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

    def rate(self, prompt: Sequence[Message], completion: str, *, desirable: bool) -> bool:
        """Adds a thumb up or down for a completion; see `add_rows` for what it returns."""
        return add_rows(self.binary, [_labelled(prompt, completion, desirable)])

    def choose(self, prompt: Sequence[Message], chosen: str, rejected: str) -> bool:
        """Adds a choice between two completions, as a pair and as two labelled completions.

        See `add_rows` for what it returns.
        """
        pair = {"prompt": list(prompt), "chosen": chosen, "rejected": rejected}
        hidden = add_rows(self.paired, [pair])
        labelled = [_labelled(prompt, chosen, True), _labelled(prompt, rejected, False)]
        return add_rows(self.binary, labelled) or hidden


def _labelled(prompt: Sequence[Message], completion: str, desirable: bool) -> dict[str, Any]:
    return {"prompt": list(prompt), "completion": completion, "label": desirable}


def add_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Adds rows to a file, all or none, without the secrets that this process knows.

    Args:
        file: The file. It is made if it does not exist.
        rows: The rows, as JSON.

    Returns:
        Whether a secret was left out.

    Raises:
        DiskError: When the disk is full, or fails.
        PathError: When the file cannot be written.
    """
    shown = hide_known_in(rows)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # It may be a link of the user, which is followed.
        append_bytes(file.resolve(), text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise PathError(
            f"cannot be written: {error.strerror or error}; name another file", location=str(file)
        ) from error
    return bool(shown != rows)
