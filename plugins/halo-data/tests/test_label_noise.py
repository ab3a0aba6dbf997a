from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_data.components import HH, Jsonl, LabelNoise, Toy

Write = Callable[..., str]


def read(source: Any, split: str = "train") -> list[dict[str, Any]]:
    return [dict(row) for row in source.load(split).rows]


def turned(source: Any, share: float, seed: int = 0, split: str = "train") -> set[int]:
    clean, noisy = (
        read(source, split),
        read(LabelNoise(source=source, share=share, seed=seed), split),
    )
    assert [row["id"] for row in clean] == [row["id"] for row in noisy]
    return {i for i, (a, b) in enumerate(zip(clean, noisy, strict=True)) if a != b}


@pytest.mark.parametrize("feedback", ["binary", "paired"])
def test_exactly_the_share_is_turned_round(feedback: Any) -> None:
    source = Toy(feedback=feedback, size=200)
    assert [len(turned(source, share)) for share in (0.0, 0.1, 0.25, 1.0)] == [0, 20, 50, 200]


def test_turned_label_is_the_other_one(write_rows: Write) -> None:
    rows = [{"prompt": "Sky?", "completion": "Blue.", "label": True}]
    (row,) = read(LabelNoise(source=Jsonl(path=write_rows(rows)), share=1.0))
    assert (row["completion"], row["desirable"]) == ("Blue.", False)


def test_turned_pair_has_its_sides_exchanged(write_rows: Write) -> None:
    rows = [{"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}]
    (row,) = read(LabelNoise(source=Jsonl(path=write_rows(rows)), share=1.0))
    assert (row["chosen"], row["rejected"]) == ("Red.", "Blue.")


def test_real_pairs_lose_a_fifth_of_their_order(real_data: Path) -> None:
    source = HH(path=str(real_data / "hh" / "helpful-online"))
    assert len(turned(source, 0.2, split="test")) == round(1131 / 5)


def test_larger_share_turns_the_same_rows_and_more() -> None:
    source = Toy(size=300)
    assert turned(source, 0.1) < turned(source, 0.4)


def test_other_seed_turns_other_rows() -> None:
    source = Toy(size=300)
    assert turned(source, 0.2) == turned(source, 0.2) != turned(source, 0.2, seed=1)


def test_noise_on_noise_of_the_same_seed_restores_the_source() -> None:
    source = Toy(size=100)
    twice = LabelNoise(source=LabelNoise(source=source, share=0.3), share=0.3)
    assert read(twice) == read(source)


def test_share_that_turns_nothing_round_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"label-noise: share: 0\.01 of 10 rows reverses none; expected"
    ):
        read(LabelNoise(source=Toy(size=10), share=0.01))


def test_kind_is_that_of_the_source_and_scores_are_refused(write_rows: Write) -> None:
    assert LabelNoise(source=Toy(), share=0.1).inspect().feedback == "paired"
    assert LabelNoise(source=Toy(feedback="binary"), share=0.1).inspect().feedback == "binary"
    row = {"prompt": "Sky?", "completions": ["a", "b"], "scores": [1, 2]}
    with pytest.raises(DataError, match="holds scored feedback; expected binary or paired"):
        LabelNoise(source=Jsonl(path=write_rows([row])), share=0.1).inspect()
