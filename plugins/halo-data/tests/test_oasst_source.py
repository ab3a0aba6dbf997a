from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_data.components import (
    OASST,
    PairedToBinary,
    PairedToDemonstration,
    ScoredToBinary,
    ScoredToPaired,
)

Write = Callable[..., str]
TREES, FLAT = "en_100_tree.jsonl", "flat_messages.jsonl"


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def raw(real_data: Path) -> list[dict[str, Any]]:
    lines = (real_data / "oasst" / FLAT).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def raw_groups(real_data: Path) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in raw(real_data):
        if message["role"] == "assistant":
            groups[message["parent_id"]].append(message)
    return groups


def source(real_data: Path, file: str = TREES, **options: Any) -> OASST:
    return OASST(path=str(real_data / "oasst" / file), **options)


def message(id_: str, parent: str | None, rank: int | None = None, **given: Any) -> dict[str, Any]:
    return {
        "message_id": id_,
        "parent_id": parent,
        "message_tree_id": "root",
        "tree_state": "ready_for_export",
        "text": f"text of {id_}",
        "role": "prompter" if parent is None else "assistant",
        "lang": "en",
        "rank": rank,
        "synthetic": False,
        "deleted": False,
        **given,
    }


@pytest.mark.parametrize("file", [TREES, FLAT])
def test_adjacent_pairs_are_429_over_212_prompts(real_data: Path, file: str) -> None:
    rows, dropped = read(source(real_data, file))
    assert len(rows) == 429
    assert len({json.dumps(row["prompt"]) for row in rows}) == 212
    assert dropped == {"unranked": 46}


@pytest.mark.parametrize("file", [TREES, FLAT])
def test_all_ranked_pairs_are_754(real_data: Path, file: str) -> None:
    rows, dropped = read(source(real_data, file, pairs="all"))
    assert len(rows) == 754
    assert dropped == {"unranked": 46}


def test_counts_follow_from_the_ranks_in_the_file(real_data: Path) -> None:
    ranked = [
        sum(reply["rank"] is not None for reply in replies)
        for replies in raw_groups(real_data).values()
    ]
    assert sum(n - 1 for n in ranked if n > 1) == 429
    assert sum(n > 1 for n in ranked) == 212
    assert sum(n * (n - 1) // 2 for n in ranked) == 754


def test_tree_files_and_flattened_files_give_the_same_rows(real_data: Path) -> None:
    assert read(source(real_data, TREES)) == read(source(real_data, FLAT))


def test_chosen_reply_always_has_the_lower_rank(real_data: Path) -> None:
    ranks = {m["message_id"]: m["rank"] for m in raw(real_data)}
    texts = {m["message_id"]: m["text"] for m in raw(real_data)}
    for row in read(source(real_data, pairs="all"))[0]:
        chosen, _, rejected = row["id"].partition(">")
        assert (row["chosen"], row["rejected"]) == (texts[chosen], texts[rejected])
        assert ranks[chosen] < ranks[rejected]


def test_first_pair_of_a_prompt_holds_its_best_reply(real_data: Path) -> None:
    ranks = {m["message_id"]: m["rank"] for m in raw(real_data)}
    first: dict[str, str] = {}
    for row in read(source(real_data))[0]:
        first.setdefault(json.dumps(row["prompt"]), row["id"].partition(">")[0])
    assert {ranks[id_] for id_ in first.values()} == {0}
    assert len(first) == 212


def test_group_with_a_null_rank_leaves_that_reply_out(real_data: Path) -> None:
    (parent,) = [
        parent
        for parent, replies in raw_groups(real_data).items()
        if len(replies) > 3 and sorted(str(reply["rank"]) for reply in replies)[-1] == "None"
    ]
    replies = raw_groups(real_data)[parent]
    assert sorted(str(reply["rank"]) for reply in replies) == ["0", "1", "2", "None"]
    groups = {row["id"]: row for row in read(source(real_data, feedback="scored"))[0]}
    texts = {reply["text"]: reply["rank"] for reply in replies}
    assert [texts[text] for text in groups[parent]["completions"]] == [0, 1, 2]
    assert groups[parent]["scores"] == [0.0, -1.0, -2.0]


def test_scored_groups_are_212_with_the_best_first(real_data: Path) -> None:
    rows, dropped = read(source(real_data, feedback="scored"))
    assert len(rows) == 212
    assert dropped == {"unranked": 46}
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in rows)
    assert sum(len(row["scores"]) for row in rows) == 687 - 46


def test_prompt_is_the_path_from_the_root_with_roles_as_written(real_data: Path) -> None:
    by_id = {m["message_id"]: m for m in raw(real_data)}
    names = {"prompter": "user", "assistant": "assistant"}
    for row in read(source(real_data, feedback="scored"))[0]:
        path, at = [], by_id[row["id"]]
        while at is not None:
            path.append({"role": names[at["role"]], "content": at["text"]})
            at = by_id.get(at["parent_id"])
        assert row["prompt"] == path[::-1]


def test_middle_replies_would_get_both_labels_and_get_none(real_data: Path) -> None:
    groups = [
        sorted(r["rank"] for r in replies if r["rank"] is not None)
        for replies in raw_groups(real_data).values()
    ]
    middle = sum(len(ranks) - 2 for ranks in groups if len(ranks) > 2)
    assert round(middle / sum(map(len, groups)), 2) == 0.34
    rows, dropped = read(PairedToBinary(source=source(real_data)))
    assert Counter(row["desirable"] for row in rows) == {True: 212, False: 212}
    assert dropped == {"unranked": 46, "conflicting labels": 2 * middle}


def test_synthetic_messages_can_be_left_out(real_data: Path) -> None:
    found = raw(real_data)
    synthetic = {m["message_id"] for m in found if m["synthetic"]}
    assert len(synthetic) == 22
    assert len({m["message_tree_id"] for m in found if m["synthetic"]}) == 5
    rows, dropped = read(source(real_data, synthetic=False))
    replies = sum(m["synthetic"] for m in found if m["role"] == "assistant")
    assert (len(rows), dropped) == (417, {"unranked": 46, "synthetic": replies})
    assert not any(set(row["id"].split(">")) & synthetic for row in rows)


def test_holdout_splits_by_tree_and_loses_nothing(real_data: Path) -> None:
    held = source(real_data, holdout=0.2)
    assert held.inspect().splits == ("train", "validation")
    parts = [read(held, split)[0] for split in ("train", "validation")]
    trees = [{row["group"] for row in rows} for rows in parts]
    assert trees[0].isdisjoint(trees[1])
    assert len(parts[0]) + len(parts[1]) == 429
    assert 10 <= len(trees[1]) <= 30


def test_larger_holdout_holds_the_same_trees_and_more(real_data: Path) -> None:
    held = [
        {row["group"] for row in read(source(real_data, holdout=share), "validation")[0]}
        for share in (0.1, 0.4)
    ]
    assert held[0] < held[1]


def test_every_row_names_its_tree(real_data: Path) -> None:
    trees = {m["message_id"]: m["message_tree_id"] for m in raw(real_data)}
    for row in read(source(real_data))[0]:
        assert row["group"] == trees[row["id"].partition(">")[0]]


@pytest.mark.parametrize(
    ("conversion", "feedback"),
    [
        (PairedToBinary, "paired"),
        (PairedToDemonstration, "paired"),
        (ScoredToPaired, "scored"),
        (ScoredToBinary, "scored"),
    ],
)
def test_conversions_hand_the_tree_on(real_data: Path, conversion: Any, feedback: str) -> None:
    trees = source(real_data, feedback=feedback)
    found = {row["group"] for row in read(conversion(source=trees))[0]}
    assert found == {row["group"] for row in read(trees)[0]}


def test_order_of_flattened_messages_does_not_matter(real_data: Path, write_rows: Write) -> None:
    shuffled = random.Random(1).sample(raw(real_data), 1167)
    rows, dropped = read(OASST(path=write_rows(shuffled)))
    expected, _ = read(source(real_data, FLAT))
    assert {row["id"] for row in rows} == {row["id"] for row in expected}
    assert dropped == {"unranked": 46}


@pytest.mark.usefixtures("hub_sizes")
def test_null_rank_survives_arrow(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = datasets.Dataset.from_list(raw(real_data))
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: table)
    rows, dropped = read(OASST())
    assert (len(rows), dropped) == (429, {"unranked": 46})


def test_null_rank_survives_pandas(real_data: Path, write_rows: Write) -> None:
    frame = datasets.Dataset.from_list(raw(real_data)).to_pandas()
    assert str(frame["rank"].dtype).startswith("float")
    given = frame[["message_id", "parent_id", "text", "role", "rank", "message_tree_id", "lang"]]
    rows, dropped = read(OASST(path=write_rows(given.to_dict("records"))))
    assert (len(rows), dropped) == (429, {"unranked": 46})


@pytest.mark.parametrize(
    ("changes", "reason", "options"),
    [
        ({"lang": "de"}, "another language", {}),
        ({"synthetic": True}, "synthetic", {"synthetic": False}),
        ({"deleted": True}, "deleted", {}),
        ({"text": " "}, "empty completion", {}),
        ({"tree_state": "growing"}, "tree not ready for export", {}),
        ({"rank": None}, "unranked", {}),
    ],
)
def test_reply_that_is_left_out_is_counted_by_reason(
    write_rows: Write, changes: dict[str, Any], reason: str, options: dict[str, Any]
) -> None:
    given = [
        message("root", None),
        message("a", "root", 0),
        {**message("b", "root", 1), **changes},
        message("c", "root", 2),
    ]
    rows, dropped = read(OASST(path=write_rows(given), **options))
    assert [row["id"] for row in rows] == ["a>c"]
    assert dropped == {reason: 1}


def test_language_counts_on_the_way_to_the_reply_too(write_rows: Write) -> None:
    given = [message("root", None, lang="de"), message("a", "root", 0), message("b", "root", 1)]
    assert read(OASST(path=write_rows(given)))[1] == {"another language": 2}
    assert len(read(OASST(path=write_rows(given), language=None))[0]) == 1


def test_lone_ranked_reply_and_reply_without_a_root_are_counted(write_rows: Write) -> None:
    given = [message("root", None), message("a", "root", 0), message("b", "gone", 0)]
    assert read(OASST(path=write_rows(given))) == (
        [],
        {"tree without a root": 1, "no ranked sibling": 1},
    )


def test_replies_of_one_rank_make_no_pair(write_rows: Write) -> None:
    given = [
        message("root", None),
        *(message(f"m{i}", "root", rank) for i, rank in enumerate((0, 1, 1))),
    ]
    rows, _ = read(OASST(path=write_rows(given), pairs="all"))
    assert [row["id"] for row in rows] == ["m0>m1", "m0>m2"]


def test_scored_replies_are_served_best_first_whatever_their_order(write_rows: Write) -> None:
    given = [message("root", None), *(message(f"m{rank}", "root", rank) for rank in (2, 0, 1))]
    (row,) = read(OASST(path=write_rows(given), feedback="scored"))[0]
    assert row["completions"] == ["text of m0", "text of m1", "text of m2"]
    assert row["scores"] == [0.0, -1.0, -2.0]


@pytest.mark.parametrize("rank", ["first", 0.5, -1, True])
def test_rank_that_is_none_is_an_error(write_rows: Write, rank: Any) -> None:
    given = [message("root", None), message("a", "root", 0), message("b", "root", rank=rank)]
    with pytest.raises(
        DataError, match=r"train\.jsonl:3: message b has the rank .*; expected 0 \(best\), 1, 2"
    ):
        read(OASST(path=write_rows(given)))


def test_unknown_role_is_an_error(write_rows: Write) -> None:
    with pytest.raises(DataError, match="has the role 'bot'; expected prompter or assistant"):
        OASST(path=write_rows([message("root", None, role="bot")])).inspect()


def test_other_schema_is_an_error_of_oasst(write_rows: Write) -> None:
    with pytest.raises(DataError, match=r"got the columns prompt, chosen; expected a message tree"):
        OASST(path=write_rows([{"prompt": "a", "chosen": "b"}])).inspect()


def test_holdout_of_several_files_is_an_error(tmp_path: Path, write_rows: Write) -> None:
    for name in ("train.jsonl", "validation.jsonl"):
        write_rows([message("root", None)], name)
    with pytest.raises(DataError, match="holdout splits a single file, but there are train, valid"):
        OASST(path=str(tmp_path), holdout=0.1).inspect()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": "x", "revision": "main"}, "hub and revision have no effect"),
        ({"holdout": 0.1}, "the hub has the split validation"),
        ({"feedback": "scored", "pairs": "all"}, "pairs only has an effect"),
    ],
)
def test_option_without_effect_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        OASST(**options)


def test_options_of_oasst_decide_on_the_digest(real_data: Path) -> None:
    made = [
        source(real_data),
        source(real_data, pairs="all"),
        source(real_data, feedback="scored"),
        source(real_data, synthetic=False),
        source(real_data, language=None),
        source(real_data, holdout=0.1),
    ]
    assert len({one.inspect().digest for one in made}) == len(made)


def test_hub_has_the_splits_train_and_validation() -> None:
    info = OASST(revision="ab" * 20).inspect()
    assert (info.feedback, info.splits) == ("paired", ("train", "validation"))
    with pytest.raises(DataError, match="OpenAssistant/oasst1: no split 'test'"):
        OASST().load("test")


def test_a_message_with_the_id_of_another_shares_its_replies_once(tmp_path):
    said = {"text": "a", "lang": "en", "message_tree_id": "q"}
    asked = {**said, "role": "prompter", "message_id": "q"}
    replies = [
        {**said, "role": "assistant", "message_id": f"r{rank}", "parent_id": "q", "rank": rank}
        for rank in range(2)
    ]
    replies[1]["text"] = "b"
    rows = [{**asked, "parent_id": None}, {**asked, "parent_id": "q"}, *replies]
    path = tmp_path / "flat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = OASST(path=str(path)).load("train").rows
    assert (row["chosen"], row["rejected"]) == ("a", "b")
