from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.testing import check_data_source
from halo_data.components import QAFeedback, ScoredToPaired
from halo_data.sources.qa_feedback import net_wins

Write = Callable[..., str]


def given(*preference: int, **changes: Any) -> dict[str, Any]:
    answers = {f"prediction {number}": f"answer {number}" for number in range(1, 5)}
    passages = [["Sky", "The sky is blue.", "It is high."]]
    start = {"question": "Sky?", "passages": passages, "gold": "Blue."}
    return {**start, **answers, "preference": list(preference), **changes}


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def raw(real_data: Path) -> list[dict[str, Any]]:
    text = (real_data / "finegrained" / "dev_feedback.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def is_an_order(preference: list[int]) -> bool:
    """Whether some ranking with ties of four answers agrees with every comparison."""
    matrix = {}
    for (i, j), value in zip(combinations(range(4), 2), preference, strict=True):
        matrix[i, j], matrix[j, i] = {0: (0, 0), 1: (1, -1), 2: (-1, 1)}[value]
    return all(
        matrix[i, k] == max(matrix[i, j], matrix[j, k], key=abs)
        for i, j, k in ((a, b, c) for a in range(4) for b in range(4) for c in range(4))
        if len({i, j, k}) == 3 and matrix[i, j] * matrix[j, k] >= 0
    )


def test_real_groups_are_478_of_500_and_22_have_no_order(real_data: Path) -> None:
    path = str(real_data / "finegrained" / "dev_feedback.json")
    rows, dropped = read(QAFeedback(path=path), "dev")
    assert (len(rows), dropped) == (478, {"comparisons without an order": 22})
    assert sum(is_an_order(row["preference"]) for row in raw(real_data)) == 478


def test_real_pairs_are_the_comparisons_that_somebody_won(real_data: Path) -> None:
    groups = QAFeedback(path=str(real_data / "finegrained" / "dev_feedback.json"))
    kept = [row["preference"] for row in raw(real_data) if is_an_order(row["preference"])]
    rows, dropped = read(ScoredToPaired(source=groups), "dev")
    won = sum(value != 0 for preference in kept for value in preference)
    assert len(rows) == won
    assert dropped["all scores equal"] == sum(not any(preference) for preference in kept) == 12


def test_score_is_wins_less_losses_and_follows_every_comparison() -> None:
    assert net_wins([1, 1, 1, 1, 1, 1]) == [3, 1, -1, -3]
    assert net_wins([2, 2, 0, 0, 1, 1]) == [-2, 2, 2, -2]
    assert net_wins([0] * 6) == [0, 0, 0, 0]


def test_comparisons_in_a_circle_have_no_order() -> None:
    assert net_wins([1, 2, 1, 1, 1, 1]) is None
    assert net_wins([0, 1, 0, 0, 0, 0]) is None


def test_passages_stand_before_the_question_unless_left_out(write_rows: Write) -> None:
    path = write_rows([given(1, 1, 1, 0, 0, 0)])
    with_passages, without = (
        read(QAFeedback(path=path, passages=choice))[0][0] for choice in (True, False)
    )
    content = "Sky\nThe sky is blue. It is high.\n\nSky?"
    assert with_passages["prompt"] == [{"role": "user", "content": content}]
    assert without["prompt"] == [{"role": "user", "content": "Sky?"}]
    assert with_passages["completions"] == [f"answer {number}" for number in range(1, 5)]
    assert with_passages["scores"] == [3.0, -1.0, -1.0, -1.0]


def test_qa_feedback_keeps_the_rules_of_data_sources(write_rows: Write) -> None:
    check_data_source(QAFeedback(path=write_rows([given(1, 1, 1, 0, 0, 0)])))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "Sky?"}, r"train\.jsonl:1: got the columns prompt; expected question, passa"),
        (given(1, 1), r"preference is \[1, 1\]; expected 6 times 0, 1 or 2"),
        (given(1, 1, 1, 1, 1, 3), "expected 6 times 0, 1 or 2, for every two of the four answers"),
    ],
)
def test_other_schema_is_an_error_of_qa_feedback(
    write_rows: Write, row: dict[str, Any], text: str
) -> None:
    with pytest.raises(DataError, match=text):
        QAFeedback(path=write_rows([row])).inspect()
