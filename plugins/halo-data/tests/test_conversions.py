from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_data.components import (
    HH,
    BinaryToDemonstration,
    Jsonl,
    PairedToBinary,
    PairedToDemonstration,
    Toy,
)

Write = Callable[..., str]


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def rated(prompt: str, completion: str, label: bool) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "label": label}


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def test_pair_becomes_a_desirable_and_an_undesirable_row(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([pair("Sky?", "Blue.", "Red.")]))
    rows, dropped = read(PairedToBinary(source=source))
    prompt = [{"role": "user", "content": "Sky?"}]
    assert rows == [
        {"id": "train:1/chosen", "prompt": prompt, "completion": "Blue.", "desirable": True},
        {"id": "train:1/rejected", "prompt": prompt, "completion": "Red.", "desirable": False},
    ]
    assert dropped == {}


def test_completion_on_both_sides_loses_both_labels(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Grey.", "Blue.")]
    rows, dropped = read(PairedToBinary(source=Jsonl(path=write_rows(pairs))))
    assert [row["completion"] for row in rows] == ["Red.", "Grey."]
    assert dropped == {"conflicting labels": 2}


def test_completion_on_both_sides_of_different_prompts_is_kept(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Blood?", "Red.", "Blue.")]
    rows, dropped = read(PairedToBinary(source=Jsonl(path=write_rows(pairs))))
    assert (len(rows), dropped) == (4, {})


def test_conflicts_can_be_kept(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Grey.", "Blue.")]
    source = Jsonl(path=write_rows(pairs))
    rows, dropped = read(PairedToBinary(source=source, conflicts="keep"))
    assert [row["desirable"] for row in rows if row["completion"] == "Blue."] == [True, False]
    assert dropped == {}


def test_same_completion_with_the_same_label_is_kept_once(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Blue.", "Grey.")]
    rows, dropped = read(PairedToBinary(source=Jsonl(path=write_rows(pairs))))
    assert [row["id"] for row in rows] == ["train:1/chosen", "train:1/rejected", "train:2/rejected"]
    assert dropped == {"duplicate": 1}


def test_chosen_completions_become_demonstrations_once(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Blue.", "Grey.")]
    rows, dropped = read(PairedToDemonstration(source=Jsonl(path=write_rows(pairs))))
    prompt = [{"role": "user", "content": "Sky?"}]
    assert rows == [{"id": "train:1/chosen", "prompt": prompt, "completion": "Blue."}]
    assert dropped == {"duplicate": 1}


def test_desirable_completions_become_demonstrations(write_rows: Write) -> None:
    given = [rated("Sky?", "Blue.", True), rated("Sky?", "Red.", False)]
    rows, dropped = read(BinaryToDemonstration(source=Jsonl(path=write_rows(given * 2))))
    prompt = [{"role": "user", "content": "Sky?"}]
    assert rows == [{"id": "train:1", "prompt": prompt, "completion": "Blue."}]
    assert dropped == {"undesirable": 2, "duplicate": 1}


def test_what_the_source_dropped_is_counted_too(write_rows: Write) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Blue.", "")]
    source = Jsonl(path=write_rows(pairs))
    assert read(PairedToBinary(source=source))[1] == {"empty side": 1}


def test_conversions_nest(write_rows: Write) -> None:
    source = PairedToBinary(source=Jsonl(path=write_rows([pair("Sky?", "Blue.", "Red.")])))
    rows, _ = read(BinaryToDemonstration(source=source))
    assert [row["completion"] for row in rows] == ["Blue."]


def test_real_pairs_double(real_data: Path) -> None:
    source = HH(path=str(real_data / "hh" / "helpful-base"))
    rows, dropped = read(PairedToBinary(source=source), "test")
    assert Counter(row["desirable"] for row in rows) == {True: 2348, False: 2348}
    assert dropped == {"empty side": 4, "identical sides": 2}


def test_conversion_keeps_the_splits_and_changes_the_kind() -> None:
    info = PairedToBinary(source=Toy()).inspect()
    assert (info.feedback, info.splits) == ("binary", ("train", "test"))


def test_digest_derives_from_the_source_and_the_options() -> None:
    sources = [
        PairedToBinary(source=Toy()),
        PairedToBinary(source=Toy(seed=2)),
        PairedToBinary(source=Toy(), conflicts="keep"),
        PairedToDemonstration(source=Toy()),
        Toy(),
    ]
    assert len({source.inspect().digest for source in sources}) == len(sources)
    assert sources[0].inspect() == PairedToBinary(source=Toy()).inspect()


@pytest.mark.parametrize("conversion", [PairedToBinary, PairedToDemonstration])
def test_source_of_another_kind_is_an_error(conversion: Any) -> None:
    with pytest.raises(DataError, match="the source holds binary feedback; expected paired"):
        conversion(source=Toy(feedback="binary")).inspect()


def test_rows_of_another_kind_are_an_error() -> None:
    with pytest.raises(DataError, match=r"train:0: a row has the columns .*; expected paired"):
        list(PairedToBinary(source=Toy(feedback="binary")).load("train").rows)


def test_toy_pairs_lose_few_rows_to_conflicts() -> None:
    rows, dropped = read(PairedToBinary(source=Toy(size=1000)))
    assert len(rows) + sum(dropped.values()) == 2000
    assert sum(dropped.values()) < 60
