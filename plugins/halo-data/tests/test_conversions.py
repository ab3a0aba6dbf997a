from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.feedback import prompt_id
from halo_data.components import (
    HH,
    OASST,
    BinaryToDemonstration,
    Jsonl,
    PairedToBinary,
    PairedToDemonstration,
    SettleLabels,
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


CONTESTED = [
    pair("Sky?", "Blue.", "Red."),
    pair("Sky?", "Blue.", "Black."),
    pair("Sky?", "Grey.", "Blue."),
]


@pytest.mark.parametrize(
    ("conflicts", "labels", "conflicting", "duplicates"),
    [
        ("drop", [], 3, 0),
        ("majority", [True], 1, 1),
        ("desirable", [True], 1, 1),
        ("undesirable", [False], 2, 0),
    ],
)
def test_policy_decides_which_label_a_contested_completion_keeps(
    write_rows: Write, conflicts: Any, labels: list[bool], conflicting: int, duplicates: int
) -> None:
    source = Jsonl(path=write_rows(CONTESTED))
    rows, dropped = read(PairedToBinary(source=source, conflicts=conflicts))
    assert [row["desirable"] for row in rows if row["completion"] == "Blue."] == labels
    others = {(row["completion"], row["desirable"]) for row in rows} - {("Blue.", labels == [True])}
    assert others == {("Red.", False), ("Black.", False), ("Grey.", True)}
    assert dropped.get("conflicting labels", 0) == conflicting
    assert dropped.get("duplicate", 0) == duplicates


def test_majority_of_equal_votes_drops_both(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([pair("Sky?", "Blue.", "Red."), pair("Sky?", "Red.", "Blue.")]))
    rows, dropped = read(PairedToBinary(source=source, conflicts="majority"))
    assert (rows, dropped) == ([], {"conflicting labels": 4})


@pytest.mark.parametrize("conflicts", ["drop", "majority", "desirable", "undesirable"])
def test_no_completion_of_a_ranking_gets_both_labels(real_data: Path, conflicts: Any) -> None:
    trees = OASST(path=str(real_data / "oasst" / "en_100_tree.jsonl"), pairs="all")
    rows, dropped = read(PairedToBinary(source=trees, conflicts=conflicts))
    labels: dict[tuple[str, str], set[bool]] = {}
    for row in rows:
        labels.setdefault((prompt_id(row["prompt"]), row["completion"]), set()).add(
            row["desirable"]
        )
    assert {len(found) for found in labels.values()} == {1}
    assert dropped["conflicting labels"] > 0
    assert len(rows) + sum(dropped.values()) - dropped["unranked"] == 2 * 754


def test_labels_of_binary_feedback_are_settled_by_the_same_policies(write_rows: Write) -> None:
    given = [rated("Sky?", "Blue.", label) for label in (True, False, True)]
    source = Jsonl(path=write_rows([*given, rated("Sky?", "Red.", False)]))
    assert read(SettleLabels(source=source))[1] == {"conflicting labels": 3}
    rows, dropped = read(SettleLabels(source=source, conflicts="majority"))
    assert [row["desirable"] for row in rows] == [True, True, False]
    assert dropped == {"conflicting labels": 1}


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


RANKED = [pair("Sky?", "Blue.", "Grey."), pair("Sky?", "Grey.", "Red.")]


def test_completion_that_another_pair_rejects_is_no_demonstration(write_rows: Write) -> None:
    rows, dropped = read(PairedToDemonstration(source=Jsonl(path=write_rows(RANKED))))
    assert [row["completion"] for row in rows] == ["Blue."]
    assert dropped == {"rejected in another pair": 1}


@pytest.mark.parametrize(
    ("take", "taken", "reasons"),
    [
        ("never-rejected", ["Blue."], {"rejected in another pair": 1}),
        ("first", ["Blue."], {"not the first of its prompt": 1}),
        ("all", ["Blue.", "Grey."], {}),
    ],
)
def test_option_says_which_chosen_completions_are_taken(
    write_rows: Write, take: Any, taken: list[str], reasons: dict[str, int]
) -> None:
    source = PairedToDemonstration(source=Jsonl(path=write_rows(RANKED)), take=take)
    rows, dropped = read(source)
    assert [row["completion"] for row in rows] == taken
    assert dropped == reasons


def test_completions_that_were_never_compared_are_all_taken_unless_the_first_is_asked_for(
    write_rows: Write,
) -> None:
    pairs = [pair("Sky?", "Blue.", "Red."), pair("Sky?", "Grey.", "Red.")]
    source = Jsonl(path=write_rows(pairs))
    assert len(read(PairedToDemonstration(source=source))[0]) == 2
    assert len(read(PairedToDemonstration(source=source, take="first"))[0]) == 1


def test_demonstration_of_real_rankings_is_the_best_reply_of_every_prompt(real_data: Path) -> None:
    for pairs in ("adjacent", "all"):
        trees = OASST(path=str(real_data / "oasst" / "en_100_tree.jsonl"), pairs=pairs)  # type: ignore[arg-type]
        rows, _ = read(PairedToDemonstration(source=trees))
        assert {row["completion"] for row in rows} == best_replies(real_data)
        assert len(rows) == 212


def best_replies(real_data: Path) -> set[str]:
    lines = (real_data / "oasst" / "flat_messages.jsonl").read_text(encoding="utf-8").splitlines()
    return {message["text"] for message in map(json.loads, lines) if message["rank"] == 0}


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
        PairedToBinary(source=Toy(), conflicts="majority"),
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
