from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.feedback import COLUMNS
from halo_data.components import Jsonl
from halo_data.rows.pairs import shared_prompt

Write = Callable[..., str]
USER = {"role": "user", "content": "Sky?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PROMPT = [USER]


def turn(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(
    path: str, split: str = "train", **options: Any
) -> tuple[str | None, list[dict[str, Any]], dict[str, int]]:
    source = Jsonl(path=path, **options)
    loaded = source.load(split)
    rows = [{k: v for k, v in row.items() if k != "id"} for row in loaded.rows]
    return source.inspect().feedback, rows, dict(loaded.dropped)


PAIR = {"prompt": PROMPT, "chosen": "Blue.", "rejected": "Red."}
SHOWN = {"prompt": PROMPT, "completion": "Blue."}

FORMS = {
    "prompt-completion text": (
        {"prompt": "Sky?", "completion": "Blue."},
        "demonstration",
        SHOWN,
    ),
    "prompt-completion messages": (
        {"prompt": PROMPT, "completion": [turn("Blue.")]},
        "demonstration",
        SHOWN,
    ),
    "label text": (
        {"prompt": "Sky?", "completion": "Blue.", "label": False},
        "binary",
        {**SHOWN, "desirable": False},
    ),
    "label messages": (
        {"prompt": PROMPT, "completion": [turn("Blue.")], "label": True},
        "binary",
        {**SHOWN, "desirable": True},
    ),
    "own column desirable": (
        {"prompt": PROMPT, "completion": "Blue.", "desirable": True},
        "binary",
        {**SHOWN, "desirable": True},
    ),
    "pair text": ({"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}, "paired", PAIR),
    "pair messages": (
        {"prompt": PROMPT, "chosen": [turn("Blue.")], "rejected": [turn("Red.")]},
        "paired",
        PAIR,
    ),
    "pair text prompt, whole conversations": (
        {"prompt": "Sky?", "chosen": [USER, turn("Blue.")], "rejected": [USER, turn("Red.")]},
        "paired",
        PAIR,
    ),
    "implicit prompt text": (
        {"chosen": "Sky?\nIt is blue.", "rejected": "Sky?\nIt is red."},
        "paired",
        {"prompt": PROMPT, "chosen": "It is blue.", "rejected": "It is red."},
    ),
    "implicit prompt messages": (
        {"chosen": [SYSTEM, USER, turn("Blue.")], "rejected": [SYSTEM, USER, turn("Red.")]},
        "paired",
        {**PAIR, "prompt": [SYSTEM, USER]},
    ),
    "implicit prompt transcript": (
        {
            "chosen": "\n\nHuman: Sky?\n\nAssistant: Blue.",
            "rejected": "\n\nHuman: Sky?\n\nAssistant: Red.",
        },
        "paired",
        PAIR,
    ),
    "from and value": (
        {
            "conversations": [{"from": "human", "value": "Sky?"}],
            "chosen": {"from": "gpt", "value": "Blue."},
            "rejected": {"from": "gpt", "value": "Red."},
        },
        "paired",
        PAIR,
    ),
    "messages": ({"messages": [USER, turn("Blue.")]}, "demonstration", SHOWN),
    "messages with label": (
        {"messages": [USER, turn("Blue.")], "label": True},
        "binary",
        {**SHOWN, "desirable": True},
    ),
    "scores text": (
        {"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [1, 0.5]},
        "scored",
        {"prompt": PROMPT, "completions": ["Blue.", "Red."], "scores": [1.0, 0.5]},
    ),
    "scores messages": (
        {"prompt": PROMPT, "completions": [[turn("Blue.")], [turn("Red.")]], "scores": [2, 1]},
        "scored",
        {"prompt": PROMPT, "completions": ["Blue.", "Red."], "scores": [2.0, 1.0]},
    ),
    "text": ({"text": "Once upon a time."}, "text", {"text": "Once upon a time."}),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_is_recognised_by_its_columns(form: str, write_rows: Write) -> None:
    given, feedback, expected = FORMS[form]
    found, rows, dropped = read(write_rows([given]))
    assert (found, rows, dropped) == (feedback, [expected], {})
    assert set(rows[0]) == set(COLUMNS[feedback])  # type: ignore[index]


@pytest.mark.parametrize("form", FORMS)
def test_columns_that_are_null_or_unknown_are_ignored(form: str, write_rows: Write) -> None:
    given, feedback, expected = FORMS[form]
    nulls = {name: None for name in ("text", "label", "messages") if name not in given}
    found, rows, _ = read(write_rows([{**nulls, "lang": "en", **given}]))
    assert (found, rows) == (feedback, [expected])


def test_system_message_stays_in_the_prompt(write_rows: Write) -> None:
    _, rows, _ = read(write_rows([{"messages": [SYSTEM, USER, turn("Blue.")]}]))
    assert rows[0]["prompt"] == [SYSTEM, USER]


def test_conversation_is_learned_from_its_last_answer(write_rows: Write) -> None:
    turns = [USER, turn("Blue."), {"role": "user", "content": "Sea?"}, turn("Green.")]
    _, rows, _ = read(write_rows([{"messages": turns}]))
    assert rows == [{"prompt": turns[:3], "completion": "Green."}]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"prompt": "Sky?", "completion": " \n"}, "empty completion"),
        ({"prompt": "Sky?", "completion": "", "label": True}, "empty completion"),
        ({"prompt": " ", "completion": "Blue."}, "empty prompt"),
        ({"prompt": [], "completion": "Blue."}, "empty prompt"),
        ({"prompt": "Sky?", "chosen": "Blue.", "rejected": ""}, "empty side"),
        ({"prompt": "Sky?", "chosen": "Blue.", "rejected": "Blue."}, "identical sides"),
        ({"chosen": [USER, turn("a")], "rejected": [SYSTEM, turn("b")]}, "prompts differ"),
        ({"chosen": "Blue.", "rejected": "Red."}, "empty prompt"),
        ({"messages": [USER]}, "no assistant turn at the end"),
        ({"messages": [USER, turn("")]}, "empty completion"),
        ({"prompt": "Sky?", "completions": ["", "a"], "scores": [1, 2]}, "empty completion"),
        ({"text": " \n "}, "empty text"),
    ],
)
def test_row_without_content_is_dropped_with_its_reason(
    given: dict[str, Any], reason: str, write_rows: Write
) -> None:
    _, rows, dropped = read(write_rows([given, given]))
    assert (rows, dropped) == ([], {reason: 2})


def test_completion_is_kept_to_the_letter(write_rows: Write) -> None:
    _, rows, _ = read(write_rows([{"prompt": " Sky? ", "completion": " Blue. \n"}]))
    assert rows == [{"prompt": [{"role": "user", "content": " Sky? "}], "completion": " Blue. \n"}]


def test_shared_words_of_answers_on_their_own_line_stay_in_the_answers() -> None:
    assert shared_prompt("Sky?\n\nIt is blue", "Sky?\n\nIt is red") == (
        "Sky?",
        "It is blue",
        "It is red",
    )


def test_shared_words_are_not_cut_within_a_word() -> None:
    assert shared_prompt("A sky blue", "A sky black") == ("A sky", "blue", "black")


def test_text_that_begins_the_other_one_leaves_no_answer() -> None:
    assert shared_prompt("Sky?\n", "Sky?\nRed.") == ("Sky?", "", "Red.")


def test_columns_option_maps_other_names(write_rows: Write) -> None:
    path = write_rows([{"q": "Sky?", "a": "Blue.", "prompt": "ignored"}])
    found, rows, _ = read(path, columns={"prompt": "q", "completion": "a"})
    assert (found, rows) == ("demonstration", [SHOWN])


def test_columns_option_changes_the_digest(write_rows: Write) -> None:
    path = write_rows([{"prompt": "a", "completion": "b", "other": "c"}])
    plain, mapped = Jsonl(path=path), Jsonl(path=path, columns={"completion": "other"})
    assert plain.inspect().digest != mapped.inspect().digest


def test_array_of_a_json_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([FORMS["messages"][0]] * 3, indent=1))
    assert len(read(str(path))[1]) == 3


def test_json_lines_in_a_json_file_are_read(write_rows: Write) -> None:
    path = write_rows([FORMS["messages"][0]] * 3, "data.json")
    assert len(read(path)[1]) == 3


def test_gzipped_file_with_byte_order_mark_and_empty_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf\n{"text": "\xc3\xa9t\xc3\xa9"}\n\n'))
    assert read(str(path))[1] == [{"text": "été"}]


def test_folder_has_a_split_per_file(tmp_path: Path, write_rows: Write) -> None:
    write_rows([{"text": "a"}], "train.jsonl")
    write_rows([{"text": "b"}, {"text": "c"}], "validation.jsonl")
    assert Jsonl(path=str(tmp_path)).inspect().splits == ("train", "validation")
    assert read(str(tmp_path), "validation")[1] == [{"text": "b"}, {"text": "c"}]


def test_single_file_is_the_split_train(write_rows: Write) -> None:
    assert Jsonl(path=write_rows([{"text": "a"}], "my.jsonl")).inspect().splits == ("train",)


def test_rows_are_named_by_split_and_line(write_rows: Write) -> None:
    path = write_rows([{"text": "a"}, {"text": " "}, {"text": "c"}])
    assert [row["id"] for row in Jsonl(path=path).load("train").rows] == ["train:1", "train:3"]


def test_thumbs_on_replies_are_334_up_and_96_down(real_data: Path) -> None:
    found, rows, dropped = read(str(real_data / "oasst" / "thumbs_unpaired.jsonl"))
    assert (found, dropped) == ("binary", {})
    assert Counter(row["desirable"] for row in rows) == {True: 334, False: 96}


def test_messages_with_labels_are_150_of_each(real_data: Path) -> None:
    found, rows, dropped = read(str(real_data / "kto_dpo_demo" / "kto_en_demo.json"))
    assert (found, dropped) == ("binary", {})
    assert Counter(row["desirable"] for row in rows) == {True: 150, False: 150}


def test_conversations_with_two_answers_are_300_pairs(real_data: Path) -> None:
    found, rows, dropped = read(str(real_data / "kto_dpo_demo" / "dpo_en_demo.json"))
    assert (found, len(rows), dropped) == ("paired", 300, {})
    assert sum(row["prompt"][0]["role"] == "system" for row in rows) == 80


def test_transcripts_read_as_jsonl_follow_the_rules_of_hh(real_data: Path) -> None:
    found, rows, dropped = read(str(real_data / "hh" / "helpful-base"), "test")
    assert (found, len(rows)) == ("paired", 2348)
    assert dropped == {"empty side": 4, "identical sides": 2}
