from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError, PathError
from halo_data.components import HH
from halo_data.rows.transcript import conversation, transcript_pair

HUMAN = "\n\nHuman: "
ASSISTANT = "\n\nAssistant: "
Write = Callable[..., str]


def read(source: HH, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def said(question: str, *answers: str) -> str:
    return HUMAN + question + "".join(ASSISTANT + answer for answer in answers)


def test_helpful_base_keeps_2348_of_2354_pairs(real_data: Path) -> None:
    rows, dropped = read(HH(path=str(real_data / "hh" / "helpful-base")), "test")
    assert len(rows) == 2348
    assert dropped == {"empty side": 4, "identical sides": 2}


def test_helpful_online_keeps_1131_of_1137_pairs(real_data: Path) -> None:
    path = real_data / "hh" / "helpful-online" / "test.jsonl.gz"
    rows, dropped = read(HH(path=str(path)), "test")
    assert len(rows) == 1131
    assert dropped == {"empty side": 3, "identical sides": 3}


def test_folder_of_subsets_reads_all_of_them(real_data: Path) -> None:
    rows, dropped = read(HH(path=str(real_data / "hh")), "test")
    assert len(rows) == 2348 + 1131
    assert dropped == {"empty side": 7, "identical sides": 5}
    assert {row["id"].split("/")[0] for row in rows} == {"helpful-base", "helpful-online"}


def test_subset_option_chooses_one_folder(real_data: Path) -> None:
    rows, _ = read(HH(path=str(real_data / "hh"), subset="helpful-online"), "test")
    assert len(rows) == 1131


def test_every_real_row_has_alternating_turns_and_two_different_answers(real_data: Path) -> None:
    rows, _ = read(HH(path=str(real_data / "hh")), "test")
    for row in rows:
        roles = [message["role"] for message in row["prompt"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        assert row["chosen"].strip()
        assert row["rejected"].strip()
        assert row["chosen"] != row["rejected"]


def test_odd_rows_are_repaired_or_dropped_as_expected(real_data: Path) -> None:
    rows, dropped = read(HH(path=str(real_data / "hh" / "edge_cases_helpful.jsonl")))
    assert dropped == {"empty side": 7, "identical sides": 5}
    lines = {int(row["id"].rpartition(":")[2]): row for row in rows}
    empty, identical = {1, 7, 15, 21, 25, 28, 29}, {6, 22, 23, 26, 27}
    assert set(lines) == set(range(1, 34)) - empty - identical


def test_odd_rows_with_several_assistant_turns_share_their_prompt(real_data: Path) -> None:
    path = real_data / "hh" / "edge_cases_helpful.jsonl"
    rows = {row["id"]: row for row in read(HH(path=str(path)))[0]}
    cost = rows["hh/train:13"]
    assert [message["role"] for message in cost["prompt"]] == ["user"]
    assert cost["chosen"].startswith("Umm. Just a second...\n\nA solar panel should cost")
    thirty = rows["hh/train:31"]
    assert thirty["rejected"].count("\n\n") >= 4


def test_odd_row_with_an_unanswered_human_turn_loses_it(real_data: Path) -> None:
    path = real_data / "hh" / "edge_cases_helpful.jsonl"
    rows = {row["id"]: row for row in read(HH(path=str(path)))[0]}
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[29])["rejected"]
    trailing = last.rpartition("\n\nHuman:")[2].strip()
    row = rows["hh/train:30"]
    assert trailing
    assert trailing not in row["rejected"]
    assert len(row["prompt"]) == 5


def test_odd_row_keeps_an_empty_turn_within_its_prompt(real_data: Path) -> None:
    path = real_data / "hh" / "edge_cases_helpful.jsonl"
    rows = {row["id"]: row for row in read(HH(path=str(path)))[0]}
    assert [message["content"] == "" for message in rows["hh/train:24"]["prompt"]] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_odd_row_keeps_a_marker_with_a_single_newline_as_text(real_data: Path) -> None:
    path = real_data / "hh" / "edge_cases_helpful.jsonl"
    rows = {row["id"]: row for row in read(HH(path=str(path)))[0]}
    row = rows["hh/train:14"]
    assert any("\nAssistant:" in message["content"] for message in row["prompt"])


def test_turns_of_one_role_are_joined_by_an_empty_line() -> None:
    turns = conversation(said("Hi", "One.", "Two."))
    assert turns[1] == {"role": "assistant", "content": "One.\n\nTwo."}


def test_marker_needs_an_empty_line_before_it() -> None:
    turns = conversation(said("Hi", "He said Human: no.\nHuman: yes."))
    assert turns[1]["content"] == "He said Human: no.\nHuman: yes."


def test_human_turn_at_the_end_is_dropped_on_either_side() -> None:
    plain = said("Hi", "Yes.")
    longer = said("Hi", "No.") + HUMAN + "And then?"
    expected = {
        "prompt": [{"role": "user", "content": "Hi"}],
        "chosen": "Yes.",
        "rejected": "No.",
    }
    assert transcript_pair(plain, longer) == expected


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (said("Hi", "Yes."), said("Hi", ""), "empty side"),
        (said("Hi", " "), said("Hi", "Yes."), "empty side"),
        (said("Hi"), said("Hi", "Yes."), "empty side"),
        (said("Hi", "Yes."), said("Hi", "Yes. "), "identical sides"),
        (said("Hi", "Yes."), said("Ho", "No."), "prompts differ"),
        (ASSISTANT + "Yes.", ASSISTANT + "No.", "empty prompt"),
    ],
)
def test_row_that_teaches_nothing_is_dropped_with_its_reason(
    chosen: str, rejected: str, reason: str
) -> None:
    outcome = transcript_pair(chosen, rejected)
    assert getattr(outcome, "reason", None) == reason


def test_digest_is_that_of_the_content_and_not_of_the_place(
    tmp_path: Path, write_rows: Write
) -> None:
    first = write_rows([{"chosen": said("Hi", "Yes."), "rejected": said("Hi", "No.")}])
    second = shutil.copy(first, tmp_path / "copy.jsonl")
    changed = write_rows([{"chosen": said("Hi", "No."), "rejected": said("Hi", "Yes.")}], "b.jsonl")
    digests = [HH(path=str(path)).inspect().digest for path in (first, second, changed)]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_digest_covers_every_byte_of_the_file(write_rows: Write) -> None:
    path = Path(write_rows([{"chosen": said("Hi", "Yes."), "rejected": said("Hi", "No.")}]))
    inner = hashlib.sha256(path.read_bytes()).hexdigest()
    assert HH(path=str(path)).inspect().digest == hashlib.sha256(inner.encode()).hexdigest()[:32]


def test_gzipped_and_plain_files_give_the_same_rows(tmp_path: Path, write_rows: Write) -> None:
    plain = Path(write_rows([{"chosen": said("Hi", "Yes."), "rejected": said("Hi", "No.")}]))
    packed = tmp_path / "packed" / "train.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    strip = [
        {k: v for k, v in row.items() if k != "id"}
        for path in (plain, packed)
        for row in read(HH(path=str(path)))[0]
    ]
    assert strip[0] == strip[1]


def test_missing_folder_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "helpful-base").mkdir()
    with pytest.raises(PathError, match=r"helpfull-base: there is no such.*Did you mean helpful-"):
        HH(path=str(tmp_path / "helpfull-base")).inspect()


def test_folder_without_splits_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(PathError, match=r"neither train\.jsonl\(\.gz\) nor test\.jsonl"):
        HH(path=str(tmp_path)).inspect()


def test_split_that_is_not_there_is_an_error_with_those_that_are(real_data: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'tset'.*'test'.*There is: test. Choose"):
        HH(path=str(real_data / "hh" / "helpful-base")).load("tset")


def test_folder_of_test_files_has_no_training_split(real_data: Path) -> None:
    source = HH(path=str(real_data / "hh" / "helpful-online"))
    assert source.inspect().splits == ("test",)
    with pytest.raises(DataError) as caught:
        source.load("train")
    assert caught.value.message == (
        "no split 'train'. There is: test. Choose with split: NAME (a split with such a name "
        "is only used for training if you name it)"
    )


def test_test_files_are_never_train_where_another_subset_has_one(
    tmp_path: Path, write_rows: Write
) -> None:
    row = {"chosen": said("Hi", "Yes."), "rejected": said("Hi", "No.")}
    for name in ("helpful-base/train", "helpful-base/test", "harmless-base/test"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_rows([row], f"{name}.jsonl")
    source = HH(path=str(tmp_path))
    assert [row["id"] for row in read(source, "train")[0]] == ["helpful-base/train:1"]
    assert len(read(source, "test")[0]) == 2


def test_other_schema_is_an_error_that_points_to_jsonl(write_rows: Write) -> None:
    path = write_rows([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    with pytest.raises(DataError, match=r"train\.jsonl:1: got 'b'; expected the original schema"):
        read(HH(path=path))


def test_other_schema_is_found_by_inspect_already(write_rows: Write) -> None:
    path = write_rows([{"text": "a", "lang": "en"}])
    with pytest.raises(DataError, match=r"train\.jsonl:1: got columns text, lang; expected"):
        HH(path=path).inspect()


def test_empty_file_is_an_error_of_hh(write_rows: Write) -> None:
    with pytest.raises(DataError, match="the file has no rows; expected at least one row"):
        HH(path=write_rows([])).inspect()


def test_wrong_subset_of_a_folder_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "helpful-base"
    folder.mkdir()
    with pytest.raises(PathError, match="this is the subset 'helpful-base'"):
        HH(path=str(folder), subset="harmless-base").inspect()


def test_revision_beside_a_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="hub and revision have no effect"):
        HH(path="somewhere", revision="main")


def test_full_commit_gives_a_digest_without_the_hub() -> None:
    commit = "0123456789" * 4
    info = HH(revision=commit, subset="helpful-base").inspect()
    assert (info.feedback, info.splits) == ("paired", ("train", "test"))
    assert info.digest
    assert info.digest != HH(revision=commit, subset="harmless-base").inspect().digest
