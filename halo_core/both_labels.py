"""Finds completions that binary feedback calls desirable in one row and undesirable in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from halo_core.rows import DataSet


def completions_with_both_labels(rows: Iterable[Mapping[str, Any]]) -> int:
    """Returns how many completions of a prompt have both labels.

    Args:
        rows: Rows of binary feedback with their `prompt_id`.
    """
    labels: dict[tuple[str, int], set[bool]] = {}
    for row in rows:
        key = row["prompt_id"], hash(row["completion"])
        labels.setdefault(key, set()).add(row["desirable"])
    return sum(len(found) == 2 for found in labels.values())


def warn_of_both_labels(data: DataSet, warn: Callable[[str], None]) -> None:
    """Warns where a set that a model learns from has completions with both labels.

    People may disagree, so it is no error; a data set that was unpaired carelessly looks the same.

    Args:
        data: The set; only binary feedback is looked at.
        warn: Told of their number.
    """
    if data.feedback != "binary":
        return
    if both := completions_with_both_labels(data):
        warn(
            f"data set {data.name!r}: completions with both labels: {both}. They are learned from "
            "as they are; {use: settle-labels, source: ..., conflicts: drop} leaves none"
        )
