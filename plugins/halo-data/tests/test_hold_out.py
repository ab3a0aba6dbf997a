"""Hold-outs of real dialogues and of own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_core.feedback import prompt_id
from halo_core.rows import DataSet
from halo_core.run.groups import opening_id
from halo_core.run.materialise import materialise_set
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace
from halo_data.components import OASST, Jsonl, PairedToBinary

Write = Callable[..., str]


def sides(tmp_path: Path, train: str, share: float = 0.1) -> tuple[DataSet, DataSet]:
    """Returns the two sides of a hold-out of a source, as a run has them."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: held\nseed: 1\nmodel: {hub: a/b, revision: main}\n"
        f"data: {{train: {train}, holdout: {share}}}\n"
        "stages: {learn: {use: train, data: train, loss: dpo}}\n"
    )
    sets = load_spec(spec).sets
    train_set, test_set = (
        DataSet(
            name, "paired", [rows.file for rows in materialise_set(sets[name], Workspace(tmp_path))]
        )
        for name in ("train", "test")
    )
    return train_set, test_set


def answered(row: dict[str, Any]) -> str:
    return prompt_id([*row["prompt"], {"role": "assistant", "content": row["chosen"]}])


def test_no_dialogue_of_hh_is_on_both_sides_of_a_hold_out(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "hh" / "helpful-base"
    train, test = sides(tmp_path, f"{{use: hh, path: {path}, split: test}}")
    assert len(train) + len(test) == 2348
    beginnings = {
        prompt_id(row["prompt"][:end]) for row in train for end in range(1, len(row["prompt"]) + 1)
    }
    # Held out by whole prompts, 11 of 234 prompts continued a training prompt, and 16 chosen
    # answers stood in training prompts.
    assert len(test) == 234
    assert not any(
        prompt_id(row["prompt"][:end]) in beginnings
        for row in test
        for end in range(1, len(row["prompt"]) + 1)
    )
    assert not any(answered(row) in beginnings for row in test)


def test_dialogues_of_hh_do_go_on_from_one_another(real_data: Path, tmp_path: Path) -> None:
    """Without groups the rows would leak, so the test above can fail."""
    path = real_data / "hh" / "helpful-base"
    train, test = sides(tmp_path, f"{{use: hh, path: {path}, split: test}}")
    rows = [*train, *test]
    assert (len({r["prompt_id"] for r in rows}), len({opening_id(r["prompt"]) for r in rows})) == (
        2348,
        2201,
    )


def pairs(count: int, **columns: Any) -> list[dict[str, Any]]:
    rows = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b"} for i in range(count)]
    return [{**row, **{k: v(i) for k, v in columns.items()}} for i, row in enumerate(rows)]


@pytest.mark.parametrize("named", ["group", "thread"])
def test_rows_of_an_own_group_stay_together(write_rows: Write, tmp_path: Path, named: str) -> None:
    path = write_rows(pairs(60, **{named: lambda i: i % 12}))
    columns = "" if named == "group" else ", columns: {group: thread}"
    train, test = sides(tmp_path, f"{{use: jsonl, path: {path}{columns}}}", 0.3)
    groups = [{int(row["id"].rpartition(":")[2]) % 12 for row in side} for side in (train, test)]
    assert groups[0].isdisjoint(groups[1])
    assert len(groups[0] | groups[1]) == 12


def test_an_own_group_above_half_is_an_error(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows(pairs(10, group=lambda i: "a" if i < 6 else i))
    with pytest.raises(DataError, match="the group 'a' has 6 of 10 rows, more than half"):
        sides(tmp_path, f"{{use: jsonl, path: {path}}}", 0.3)


def test_conversions_hand_an_own_group_on(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(pairs(2, group=lambda i: i)))
    assert [row["group"] for row in PairedToBinary(source=source).load("train").rows] == [
        "0",
        "0",
        "1",
        "1",
    ]


def test_a_row_without_a_group_has_that_of_its_opening(write_rows: Write) -> None:
    path = write_rows(pairs(2, group=lambda i: [None, "a"][i]))
    assert [row.get("group") for row in Jsonl(path=path).load("train").rows] == [None, "a"]


def test_a_group_that_is_no_name_is_an_error(write_rows: Write) -> None:
    path = write_rows(pairs(1, group=lambda i: [i]))
    with pytest.raises(DataError) as caught:
        list(Jsonl(path=path).load("train").rows)
    assert str(caught.value) == (
        f"{path}:1: column 'group' is [0]; expected text or a whole number that names the rows "
        "which stay on one side of a hold-out: map the right column with columns: {group: NAME}, "
        "or leave it out with ignore_columns: [group]"
    )


def test_columns_may_map_a_group() -> None:
    assert Jsonl(path="x.jsonl", columns={"group": "thread"}).columns == {"group": "thread"}
    with pytest.raises(ValidationError, match="'thread' is not a standard column"):
        Jsonl(path="x.jsonl", columns={"thread": "group"})


def test_trees_that_a_hold_out_cannot_part_are_an_error(real_data: Path) -> None:
    path = str(real_data / "oasst" / "en_100_tree.jsonl")
    with pytest.raises(DataError, match=r"holdout: 1e-05 takes 0 of \d+ trees \(the `group` of a"):
        list(OASST(path=path, holdout=0.00001).load("train").rows)


def test_a_tree_above_half_is_an_error(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    lines = (real_data / "oasst" / "en_100_tree.jsonl").read_text(encoding="utf-8").splitlines()
    path.write_text(lines[0] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="prompts with replies, more than half") as caught:
        list(OASST(path=str(path), holdout=0.5).load("train").rows)
    assert "`group`" in caught.value.message
