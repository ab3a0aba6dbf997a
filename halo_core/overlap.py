"""Finds what stands both in the data that is trained on and in the data that is tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_core.rows import DataSet

Rows = Mapping[str, Sequence[Any]]


def check_overlap(
    trained: Sequence[DataSet], tested: Sequence[DataSet], warn: Callable[[str], None]
) -> None:
    """Compares every training set with every test set of another name.

    Args:
        trained: Sets that models learn from; raw text is not compared.
        tested: Sets that prompts are drawn from or losses evaluated on.
        warn: Told of prompts that stand in both with other completions.

    Raises:
        DataError: When a prompt stands in both with the same completion.
    """
    for test in tested:
        for train in trained:
            if train.name != test.name and "text" not in (train.feedback, test.feedback):
                _compare(train, test, warn)


def _compare(train: DataSet, test: DataSet, warn: Callable[[str], None]) -> None:
    seen = {pair for row in train for pair in _pairs(row)}
    prompts = {prompt for prompt, _ in seen}
    rows = [row["id"] for row in test if any(pair in seen for pair in _pairs(row))]
    if rows:
        raise DataError(
            f"{len(rows)} of its {len(test)} rows stand in {train.name!r} too, the first is "
            f"{rows[0]}. What is tested on must not be trained on: use other splits, or "
            "data: {train: ..., holdout: 0.1}",
            location=f"data set {test.name!r}",
        )
    shared = {row["prompt_id"] for row in test} & prompts
    if shared:
        warn(
            f"{len(shared)} prompts of {test.name!r} stand in {train.name!r} too, "
            "with other completions"
        )


def _pairs(row: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    texts = [row[name] for name in ("completion", "chosen", "rejected") if name in row]
    for text in [*texts, *row.get("completions", [])]:
        yield row["prompt_id"], hash(text)
