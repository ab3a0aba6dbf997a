from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_data.components import (
    OASST,
    Jsonl,
    PairedToScored,
    ScoredToBinary,
    ScoredToPaired,
    Toy,
)
from halo_data.conversions.of_scores import index_pairs

Write = Callable[..., str]


def group(scores: list[float], texts: str = "abcdefgh", prompt: str = "Sky?") -> dict[str, Any]:
    return {"prompt": prompt, "completions": list(texts[: len(scores)]), "scores": scores}


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def sides(rows: list[dict[str, Any]]) -> list[str]:
    return [row["chosen"] + row["rejected"] for row in rows]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("all", ["ba", "bc", "bd", "ac", "ad", "dc"]),
        ("adjacent", ["ba", "ad", "dc"]),
        ("best-worst", ["bc"]),
    ],
)
def test_group_of_different_scores_becomes_pairs(
    write_rows: Write, pairs: Any, expected: list[str]
) -> None:
    source = Jsonl(path=write_rows([group([3, 4, 1, 2])]))
    rows, dropped = read(ScoredToPaired(source=source, pairs=pairs))
    assert sorted(sides(rows)) == sorted(expected)
    assert dropped == {}


@pytest.mark.parametrize("pairs", ["all", "adjacent", "best-worst"])
def test_no_pair_is_made_of_a_tie(pairs: Any) -> None:
    scores = [2.0, 1.0, 2.0, 1.0, 3.0]
    made = list(index_pairs(scores, pairs))
    assert made
    assert all(scores[high] > scores[low] for high, low in made)


def test_all_pairs_are_all_unordered_pairs_of_different_score() -> None:
    scores = [2.0, 1.0, 2.0, 5.0, 3.0]
    expected = {
        (i, j) if scores[i] > scores[j] else (j, i)
        for i, j in combinations(range(5), 2)
        if scores[i] != scores[j]
    }
    made = list(index_pairs(scores, "all"))
    assert set(made) == expected
    assert len(made) == len(expected)


def test_adjacent_pairs_take_every_completion_of_a_tie() -> None:
    assert list(index_pairs([1.0, 3.0, 2.0, 2.0], "adjacent")) == [(1, 2), (1, 3), (2, 0), (3, 0)]


def test_pair_below_the_smallest_gap_is_dropped_and_counted(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([group([1, 2, 4])]))
    rows, dropped = read(ScoredToPaired(source=source, min_gap=2.0))
    assert sides(rows) == ["cb", "ca"]
    assert dropped == {"gap below min_gap": 1}


def test_groups_that_rank_nothing_are_dropped_by_reason(write_rows: Write) -> None:
    groups = [group([2, 2, 2]), group([1]), group([1, 2], "xx"), group([1, 2])]
    rows, dropped = read(ScoredToPaired(source=Jsonl(path=write_rows(groups))))
    assert sides(rows) == ["ba"]
    assert dropped == {"all scores equal": 1, "one completion": 1, "identical sides": 1}


def test_ids_name_the_group_and_both_completions(write_rows: Write) -> None:
    rows, _ = read(ScoredToPaired(source=Jsonl(path=write_rows([group([1, 2])]))))
    assert [row["id"] for row in rows] == ["train:1/1-0"]


@pytest.mark.parametrize(("pairs", "count"), [("adjacent", 429), ("all", 754)])
def test_scored_groups_of_trees_give_the_pairs_of_trees(
    real_data: Path, pairs: Any, count: int
) -> None:
    path = str(real_data / "oasst" / "en_100_tree.jsonl")
    by_group, _ = read(ScoredToPaired(source=OASST(path=path, feedback="scored"), pairs=pairs))
    by_pair, _ = read(OASST(path=path, pairs=pairs))
    keys = [[(r["chosen"], r["rejected"]) for r in rows] for rows in (by_group, by_pair)]
    assert keys[0] == keys[1]
    assert len(keys[0]) == count


def test_threshold_is_itself_desirable(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([group([1, 2, 3])]))
    rows, dropped = read(ScoredToBinary(source=source, threshold=2.0))
    assert [(r["completion"], r["desirable"]) for r in rows] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    assert [row["id"] for row in rows] == ["train:1/0", "train:1/1", "train:1/2"]
    assert dropped == {}


def test_median_is_that_of_each_group_and_belongs_to_neither_side(write_rows: Write) -> None:
    groups = [group([1, 2, 3]), group([10, 20], "xy", "Sea?"), group([5, 5], "pq", "Sun?")]
    rows, dropped = read(ScoredToBinary(source=Jsonl(path=write_rows(groups))))
    labels = {r["completion"]: r["desirable"] for r in rows}
    assert labels == {"a": False, "c": True, "x": False, "y": True}
    assert dropped == {"at the median": 1, "all scores equal": 1}


def test_completion_on_both_sides_of_the_threshold_gets_no_label(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([group([1, 3, 3], "aab"), group([3, 1], "bc")]))
    rows, dropped = read(ScoredToBinary(source=source, threshold=2.0))
    assert {r["completion"]: r["desirable"] for r in rows} == {"b": True, "c": False}
    assert dropped == {"conflicting labels": 2, "duplicate": 1}


def test_best_replies_of_trees_are_those_of_score_zero(real_data: Path) -> None:
    trees = OASST(path=str(real_data / "oasst" / "en_100_tree.jsonl"), feedback="scored")
    rows, _ = read(ScoredToBinary(source=trees, threshold=0.0))
    assert sum(row["desirable"] for row in rows) == 212


@pytest.mark.parametrize("conversion", [ScoredToPaired, ScoredToBinary])
def test_source_without_scores_is_an_error(conversion: Any) -> None:
    with pytest.raises(DataError, match="the source holds paired feedback; expected scored"):
        conversion(source=Toy()).inspect()


def test_options_change_the_digest(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([group([1, 2])]))
    made = [
        ScoredToPaired(source=source),
        ScoredToPaired(source=source, pairs="adjacent"),
        ScoredToPaired(source=source, min_gap=1.0),
        ScoredToBinary(source=source),
        ScoredToBinary(source=source, threshold=1.0),
    ]
    assert len({component.inspect().digest for component in made}) == len(made)


def test_pairs_become_groups_of_two_and_duplicates_are_counted(write_rows: Write) -> None:
    pair = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}
    source = Jsonl(path=write_rows([pair, {**pair, "rejected": "Green."}, pair]))
    rows, dropped = read(PairedToScored(source=source))
    assert [(row["completions"], row["scores"]) for row in rows] == [
        (["Blue.", "Red."], [1.0, 0.0]),
        (["Blue.", "Green."], [1.0, 0.0]),
    ]
    assert len({row["id"] for row in rows}) == 2
    assert dropped == {"duplicate": 1}


def test_pairs_that_become_groups_and_pairs_again_are_the_same(write_rows: Write) -> None:
    pairs = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(3)]
    source = Jsonl(path=write_rows(pairs))
    rows, _ = read(ScoredToPaired(source=PairedToScored(source=source)))
    assert [(r["chosen"], r["rejected"]) for r in rows] == [("yes", "no")] * 3


def test_only_pairs_become_groups(write_rows: Write) -> None:
    with pytest.raises(DataError, match="the source holds scored feedback; expected paired"):
        PairedToScored(source=Jsonl(path=write_rows([group([1, 2])]))).inspect()
