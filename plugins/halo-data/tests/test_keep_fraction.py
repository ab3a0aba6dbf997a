from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_data.components import Jsonl, KeepFraction, Toy
from halo_data.conversions.fractions import count_of_share

Write = Callable[..., str]


def thumbs(up: int, down: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Question {i}?", "completion": f"Answer {i}.", "label": i < up}
        for i in range(up + down)
    ]


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def answers(source: Any) -> set[str]:
    return {row["completion"] for row in read(source)[0]}


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [(0.01, 3), (0.05, 17), (0.1, 33), (0.25, 84), (0.5, 167), (1.0, 334)],
)
def test_real_thumbs_keep_exactly_the_fraction(real_data: Path, fraction: float, kept: int) -> None:
    source = Jsonl(path=str(real_data / "oasst" / "thumbs_unpaired.jsonl"))
    rows, dropped = read(KeepFraction(source=source, desirable=fraction))
    assert Counter(row["desirable"] for row in rows) == {True: kept, False: 96}
    assert dropped.get("desirable beyond the fraction", 0) == 334 - kept


def test_half_of_the_undesirable_rows_is_half(real_data: Path) -> None:
    source = Jsonl(path=str(real_data / "oasst" / "thumbs_unpaired.jsonl"))
    rows, dropped = read(KeepFraction(source=source, undesirable=0.5))
    assert Counter(row["desirable"] for row in rows) == {True: 334, False: 48}
    assert dropped == {"undesirable beyond the fraction": 48}


def test_halves_are_rounded_upwards_and_a_tenth_is_a_tenth() -> None:
    assert [count_of_share(0.5, n) for n in (1, 2, 3)] == [1, 1, 2]
    assert count_of_share(0.1, 5) == 1
    assert count_of_share(0.35, 10) == 4
    assert count_of_share(0.29, 100) == 29


def test_smaller_fraction_is_a_part_of_a_larger_one(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(thumbs(100, 100)))
    sizes = (0.01, 0.1, 0.5, 0.9)
    kept = [answers(KeepFraction(source=source, desirable=f, undesirable=f)) for f in sizes]
    assert kept[0] < kept[1] < kept[2] < kept[3]


def test_neither_order_nor_the_other_class_changes_what_is_kept(write_rows: Write) -> None:
    rows = thumbs(100, 60)
    mixed = random.Random(1).sample(rows, len(rows))
    without = [row for row in rows if row["label"]]
    found = [
        answers(KeepFraction(source=Jsonl(path=write_rows(given, name)), desirable=0.3))
        & {row["completion"] for row in without}
        for given, name in ((rows, "a.jsonl"), (mixed, "b.jsonl"), (without, "c.jsonl"))
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 30


def test_more_data_only_pushes_rows_out_by_rank(write_rows: Write) -> None:
    small, large = thumbs(100, 0), thumbs(200, 0)
    few = answers(KeepFraction(source=Jsonl(path=write_rows(small, "a.jsonl")), desirable=0.1))
    many = answers(KeepFraction(source=Jsonl(path=write_rows(large, "b.jsonl")), desirable=0.5))
    assert few < many


def test_seed_chooses_other_rows(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(thumbs(100, 0)))
    kept = [answers(KeepFraction(source=source, desirable=0.2, seed=seed)) for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]
    assert len(kept[2]) == 20


def test_equal_rows_count_each(write_rows: Write) -> None:
    same = [{"prompt": "Sky?", "completion": "Blue.", "label": True}] * 10
    assert len(read(KeepFraction(source=Jsonl(path=write_rows(same)), desirable=0.3))[0]) == 3


def test_equal_rows_are_not_kept_or_left_out_together(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(thumbs(30, 0) * 4))
    rows, _ = read(KeepFraction(source=source, desirable=0.5))
    assert set(Counter(row["completion"] for row in rows).values()) >= {1, 2, 3}


def test_fraction_that_leaves_nothing_is_an_error(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(thumbs(4, 40)))
    with pytest.raises(
        DataError,
        match=r"keep-fraction: desirable: 0\.1 of 4 desirable rows leaves none; expected at least "
        r"one: take a larger fraction or more data",
    ):
        read(KeepFraction(source=source, desirable=0.1))


def test_fraction_of_a_class_without_rows_is_an_error(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(thumbs(4, 0)))
    with pytest.raises(DataError, match=r"undesirable: 0\.5 of 0 undesirable rows leaves none"):
        read(KeepFraction(source=source, undesirable=0.5))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValidationError, match="desirable"):
        KeepFraction(source=Toy(feedback="binary"), desirable=fraction)


def test_pairs_have_no_classes_to_keep_a_fraction_of() -> None:
    with pytest.raises(DataError, match="keep-fraction: the source holds paired feedback"):
        KeepFraction(source=Toy()).inspect()
