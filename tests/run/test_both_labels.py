"""Completions with both labels are found and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halo_core.rows import DataSet
from halo_core.run.data_checks import completions_with_both_labels, warn_of_both_labels
from halo_core.testing import data_set


def row(prompt: str, completion: str, desirable: bool) -> dict[str, Any]:
    return {"prompt_id": prompt, "completion": completion, "desirable": desirable}


def data(folder: Path, *rows: dict[str, Any]) -> DataSet:
    return data_set(folder, "binary", [{"prompt": [], **given} for given in rows])


def test_only_a_completion_of_one_prompt_with_both_labels_counts() -> None:
    rows = [row("p", "a", True), row("p", "b", True), row("p", "b", True), row("q", "a", False)]
    assert completions_with_both_labels(rows) == 0
    assert completions_with_both_labels([*rows, row("p", "b", False)]) == 1


def test_both_labels_are_warned_of_with_the_way_out(tmp_path: Path) -> None:
    told: list[str] = []
    found = data(tmp_path, row("p", "a", True), row("p", "a", False))
    warn_of_both_labels(found, told.append)
    assert told == [
        "data set 'train': completions with both labels: 1. Training uses them as they are; "
        "{use: settle-labels, source: ..., conflicts: drop} removes them"
    ]


def test_labels_without_a_conflict_are_not_warned_of(tmp_path: Path) -> None:
    warn_of_both_labels(data(tmp_path, row("p", "a", True), row("p", "b", False)), pytest.fail)
