"""Tool calls, thoughts, names, weights and parts are kept unchanged, or an error names them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from click.testing import CliRunner

from halo_core.cli import call
from halo_core.cli.group import halo
from halo_core.errors import DataError
from halo_core.feedback import prompt_id
from halo_core.testing.data.rules import check_rows
from halo_data.components import Hub, Jsonl
from halo_data.files.hub import hub_records

Write = Callable[..., str]
USER: dict[str, Any] = {"role": "user", "content": "Warm outside?"}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Lima"}}}
CALLS = {"tool_calls": [CALL]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
RESULT = {"role": "tool", "content": "21", "tool_call_id": "7", "name": "weather"}


def answer(content: Any = "Let me look.", **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def read(path: str, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = Jsonl(path=path, **options).load("train")
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def one(path: str, **options: Any) -> dict[str, Any]:
    (row,), dropped = read(path, **options)
    assert not dropped
    del row["id"]
    return row


def message_of(path: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return str(caught.value)


def test_a_call_beside_a_text_is_kept_with_the_tools(write_rows: Write) -> None:
    path = write_rows([{"messages": [USER, answer(**CALLS)], "tools": TOOLS}])
    assert one(path) == {
        "prompt": [USER],
        "completion": "Let me look.",
        "completion_fields": CALLS,
        "tools": TOOLS,
    }


@pytest.mark.parametrize("content", ["", None])
def test_a_call_alone_is_no_empty_completion(write_rows: Write, content: Any) -> None:
    path = write_rows([{"messages": [USER, answer(content, **CALLS)]}])
    assert one(path) == {"prompt": [USER], "completion": "", "completion_fields": CALLS}


def test_thoughts_alone_are_no_empty_completion(write_rows: Write) -> None:
    path = write_rows([{"messages": [USER, answer(None, reasoning_content="Hm.")]}])
    assert one(path)["completion_fields"] == {"reasoning_content": "Hm."}


def test_all_turns_of_a_prompt_keep_their_fields(write_rows: Write) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {**USER, "name": "Ana"},
        answer("", thinking="Hm.", **CALLS),
        RESULT,
    ]
    row = one(write_rows([{"messages": [*turns, answer("Yes.")]}]))
    assert row == {"prompt": turns, "completion": "Yes."}


def test_arguments_and_tools_that_are_json_text_are_parsed(write_rows: Write) -> None:
    function = {"name": "weather", "arguments": json.dumps({"city": "Lima"})}
    bare = {"name": "weather", "arguments": "", "id": "7"}
    written = [{"type": "function", "function": function}, bare]
    rows = [
        {"messages": [USER, answer(tool_calls=calls)], "tools": json.dumps(TOOLS)}
        for calls in (written, json.dumps(written))
    ]
    for row in read(write_rows(rows))[0]:
        assert row["tools"] == TOOLS
        assert row["completion_fields"]["tool_calls"] == [CALL, {**bare, "arguments": {}}]


def test_null_and_empty_fields_are_none(write_rows: Write) -> None:
    nothing = {"tool_calls": [], "name": None, "audio": None, "annotations": [], "refusal": None}
    row = {"messages": [USER, answer("Yes.", **nothing)], "tools": []}
    assert one(write_rows([row])) == {"prompt": [USER], "completion": "Yes."}


def test_parts_of_text_are_one_text(write_rows: Write) -> None:
    parts = [{"type": "text", "text": "War"}, {"type": "text", "text": "m?", "image_url": None}]
    row = {"messages": [{**USER, "content": parts}, answer([{"type": "text", "text": "Yes."}])]}
    assert one(write_rows([row])) == {
        "prompt": [{**USER, "content": "Warm?"}],
        "completion": "Yes.",
    }


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": [{"type": "image_url", "image_url": "x"}]}, "has a part of the type 'image_u"),
        ({"content": ["a"]}, "messages[0] has a part of the type None; expected parts {"),
        ({"content": [{"type": "text", "text": "a", "x": 1}]}, "a part of messages[0] has the fie"),
        (
            {"audio": {"id": "1"}},
            "messages[0] has the field 'audio', which nothing would read; kno",
        ),
        ({"reasoning": "Hm."}, "messages[0] has the field 'reasoning', which nothing would read"),
        ({"role": "function"}, "'function' is of an older form: write a call as tool_calls of an"),
        ({"role": "observation"}, "messages[0] has the role 'observation'; expected one of system"),
        ({"role": "judge"}, "has the role 'judge'; expected one of system, developer, user, assis"),
        ({"content": None}, "messages[0] is {'role': 'user', 'content': None}; expected"),
        ({"name": 3}, "messages[0]: name is 3; expected text"),
        ({"weight": 0.5}, "messages[0]: weight is 0.5; expected 0 or 1"),
        ({"tool_calls": {"a": 1}}, "messages[0]: tool_calls is {'a': 1}; expected a list of"),
        ({"tool_calls": ["x"]}, "messages[0]: tool_calls is ['x']; expected a list of"),
        ({"tool_calls": [{"id": "1"}]}, "messages[0].tool_calls[0] is {'id': '1'}; expected a fu"),
        ({"tool_calls": "[x"}, "messages[0].tool_calls is '[x', which is not JSON: Expecting"),
        (
            {"tool_calls": [{"name": "a", "arguments": "{x"}]},
            "messages[0].tool_calls[0].arguments is '{x', which is not JSON: Expecting property",
        ),
        (
            {"tool_calls": [{"name": "a", "arguments": "[1]"}]},
            "messages[0].tool_calls[0]: arguments is '[1]'; expected a JSON object, or its text",
        ),
    ],
)
def test_what_nothing_would_read_is_an_error_with_its_place(
    message: dict[str, Any], told: str, write_rows: Write
) -> None:
    path = write_rows([{"messages": [{**USER, **message}, answer("Yes.")]}])
    said = message_of(path)
    assert said.startswith(f"{path}:1: ")
    assert told in said


@pytest.mark.parametrize("tools", ["x", '{"a": 1}', {"a": 1}, ["x"]])
def test_tools_that_are_no_list_of_objects_are_an_error(write_rows: Write, tools: Any) -> None:
    said = message_of(write_rows([{"messages": [USER, answer()], "tools": tools}]))
    assert "column 'tools' is" in said


def test_fields_are_left_out_where_the_options_name_them(write_rows: Write) -> None:
    stamped = {**USER, "timestamp": 3, "id": "x"}
    rows = [
        {"messages": [stamped, answer("Yes.", timestamp=4)]},
        {"prompt": [stamped], "completion": answer("Yes.", id="y")},
    ]
    path = write_rows(rows)
    assert "the field 'id'" in message_of(path)
    assert "Where it may be left out: ignore_fields: [id]" in message_of(path)
    for row in read(path, ignore_fields=["timestamp", "id"])[0]:
        assert (row["prompt"], row["completion"]) == ([USER], "Yes.")
    # The ignored fields are part of the digest, because they change the rows.
    sources = [Jsonl(path=path), Jsonl(path=path, ignore_fields=["timestamp", "id"])]
    assert len({source.inspect().digest for source in sources}) == 2


def test_an_answer_of_weight_0_is_dropped_and_counted(write_rows: Write) -> None:
    zero = answer("No.", weight=0)
    history = [USER, zero, USER, answer("Yes.", weight=1)]
    rows = [
        {"messages": [USER, zero]},
        {"messages": history},
        {"prompt": "Warm?", "completion": [zero]},
    ]
    kept, dropped = read(write_rows(rows))
    assert dropped == {"answer has weight 0": 2}
    assert [row["prompt"] for row in kept] == [[USER, answer("No."), USER]]


def test_a_side_or_a_scored_completion_of_weight_0_is_dropped(write_rows: Write) -> None:
    zero, good = answer("No.", weight=0), answer("Yes.")
    pairs = [
        {"prompt": "Warm?", "chosen": good, "rejected": zero},
        {"chosen": [USER, zero], "rejected": [USER, good]},
    ]
    assert read(write_rows(pairs)) == ([], {"answer has weight 0": 2})
    scored = {"prompt": "Warm?", "completions": [good, zero], "scores": [1, 0]}
    assert read(write_rows([scored])) == ([], {"answer has weight 0": 1})


def test_sides_that_differ_in_their_calls_are_a_pair(write_rows: Write) -> None:
    other = {"tool_calls": [{**CALL, "function": {"name": "news", "arguments": {}}}]}
    chosen, rejected = answer(**CALLS), answer(**other)
    rows = [
        {"prompt": [USER], "chosen": chosen, "rejected": rejected, "tools": TOOLS},
        {"chosen": [USER, chosen], "rejected": [USER, rejected], "tools": TOOLS},
        {"chosen": [USER, chosen], "rejected": [USER, chosen]},
        {"chosen": [{**USER, "name": "Ana"}, chosen], "rejected": [USER, rejected]},
    ]
    kept, dropped = read(write_rows(rows))
    assert dropped == {"identical sides": 1, "prompts differ": 1}
    for row in kept:
        assert (row["chosen"], row["rejected"]) == ("Let me look.", "Let me look.")
        assert (row["chosen_fields"], row["rejected_fields"]) == (CALLS, other)
        assert row["tools"] == TOOLS


def test_scored_completions_keep_their_fields(write_rows: Write) -> None:
    row = {"prompt": [USER], "completions": [answer("", **CALLS), "Yes."], "scores": [1, 0]}
    found = one(write_rows([row]))
    assert (found["completions"], found["completions_fields"]) == (["", "Yes."], [CALLS, None])


def test_fields_may_stand_in_a_column_of_their_own(write_rows: Write) -> None:
    text = {"name": "weather", "arguments": '{"city": "Lima"}'}
    fields = {"tool_calls": [{"type": "function", "function": text}]}
    row = {"prompt": [USER], "completion": "", "completion_fields": fields}
    assert one(write_rows([row]))["completion_fields"] == CALLS
    again = {**row, "completion": answer("", thinking="Hm.")}
    assert "'completion_fields' repeats fields of the message itself: thinking" in message_of(
        write_rows([again])
    )
    assert "'completion_fields' is 'x'; expected an object" in message_of(
        write_rows([{**row, "completion_fields": "x"}])
    )


IDS = {"token_ids": [5, 6], "finish": "length", "tokenizer": "0a", "template": "1b"}


def test_ids_of_samples_are_read(write_rows: Write) -> None:
    row = one(write_rows([{"prompt": [USER], "completion": "Yes.", **IDS}]))
    beside = {"completion_token_ids": [5, 6], **{k: v for k, v in IDS.items() if k != "token_ids"}}
    assert row == {"prompt": [USER], "completion": "Yes.", **beside}


def test_ids_of_pairs_and_groups_are_read(write_rows: Write) -> None:
    pair = {
        **{"prompt": [USER], "chosen": "Yes.", "rejected": "No."},
        **{"chosen_token_ids": [1], "rejected_token_ids": [2], "rejected_finish": "length"},
        "tokenizer": "0a",
    }
    assert one(write_rows([pair])) == pair
    group = {
        **{"prompt": [USER], "completions": ["Yes.", "No."], "scores": [1.0, 0.0]},
        **{"completions_token_ids": [[1], None], "finishes": [None, "stop"], "template": "1b"},
    }
    assert one(write_rows([group])) == group
    short = message_of(write_rows([{**group, "finishes": ["stop"]}]))
    assert "column 'finishes' is not a list with one value per completion" in short


def test_digests_without_ids_are_words_of_another_meaning(write_rows: Write) -> None:
    row = {"prompt": [USER], "completion": "Yes.", "template": "chatml", "tokenizer": "x"}
    path = write_rows([row])
    assert one(path) == {"prompt": [USER], "completion": "Yes."}
    assert "ignored columns: template (1), tokenizer (1)" in shown("jsonl", "--set", f"path={path}")
    path = write_rows([{**row, "token_ids": [1]}])
    assert "ignored" not in shown("jsonl", "--set", f"path={path}")


def test_ids_of_a_side_that_is_cut_out_of_a_text_are_refused(write_rows: Write) -> None:
    row = {"chosen": "Warm?\nYes.", "rejected": "Warm?\nNo.", "chosen_token_ids": [1]}
    said = message_of(write_rows([row]))
    assert "column 'chosen_token_ids' is about a completion, but this row has no prompt" in said


TALK = [
    {"role": "system", "content": "Be brief."},
    USER,
    answer("", **CALLS),
    RESULT,
    answer("No.", weight=0),
    {"role": "user", "content": "Sure?"},
    answer("Yes."),
]


def test_all_assistant_turns_are_examples_with_the_turns_before_them(write_rows: Write) -> None:
    row = {"messages": TALK, "tools": TOOLS, "completion_token_ids": [7]}
    kept, dropped = read(write_rows([row]), train_on="all")
    assert dropped == {"answer has weight 0": 1}
    first, last = kept
    assert (first["id"], last["id"]) == ("train:1/turn1", "train:1/turn3")
    assert (first["prompt"], first["completion"]) == (TALK[:2], "")
    assert first["completion_fields"] == CALLS
    assert last["prompt"] == [*TALK[:4], answer("No."), TALK[5]]
    assert last["completion"] == "Yes."
    assert first["tools"] == last["tools"] == TOOLS
    # The ids are those of the last turn.
    assert (first.get("completion_token_ids"), last["completion_token_ids"]) == (None, [7])


def test_all_turns_of_a_prompt_and_a_completion_are_examples(write_rows: Write) -> None:
    row = {"prompt": TALK[:-1], "completion": answer("Yes.")}
    whole = read(write_rows([{"messages": TALK}], "a.jsonl"), train_on="all")
    assert read(write_rows([row], "b.jsonl"), train_on="all") == whole
    zero = {**row, "completion": answer("Yes.", weight=0)}
    kept, dropped = read(write_rows([zero], "c.jsonl"), train_on="all")
    assert (len(kept), dropped) == (1, {"answer has weight 0": 2})


def test_a_question_at_the_end_leaves_the_answers_before_it(write_rows: Write) -> None:
    turns = [USER, answer("Yes."), USER]
    path = write_rows([{"messages": turns}, {"messages": [USER]}])
    kept, dropped = read(path, train_on="all")
    assert ([row["completion"] for row in kept], dropped) == (
        ["Yes."],
        {"no assistant turn at the end": 1},
    )
    assert read(path) == (
        [{**row, "id": "train:1"} for row in kept],
        {"no assistant turn at the end": 1},
    )


def test_an_answer_after_an_answer_is_an_error(write_rows: Write) -> None:
    path = write_rows([{"messages": [USER, answer("Yes."), answer("No.")]}])
    told = "column 'messages[:2]' ends with an assistant turn; expected a prompt that ends"
    for train_on in ("all", "last"):
        assert told in message_of(path, train_on=train_on)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"messages": TALK, "label": True}, "binary feedback does not support: its label is"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "paired feedback does not support: it"),
        ({"prompt": "a", "completions": ["b"], "scores": [1]}, "scored feedback does not support"),
        ({"text": "a"}, "text feedback does not support: it has no turns, and is learned whole"),
    ],
)
def test_all_turns_are_of_demonstrations_alone(
    row: dict[str, Any], told: str, write_rows: Write
) -> None:
    path = write_rows([row])
    with pytest.raises(DataError) as caught:
        Jsonl(path=path, train_on="all").inspect()
    assert told in caught.value.message
    assert "Leave train_on out" in caught.value.message
    assert caught.value.location == f"{path}:1"


def test_which_turns_are_learned_is_in_the_digest_where_it_is_not_the_last(
    write_rows: Write,
) -> None:
    path = write_rows([{"messages": TALK}])
    last, all_ = Jsonl(path=path), Jsonl(path=path, train_on="all")
    assert last.inspect().digest != all_.inspect().digest
    assert Hub(id="a/b", train_on="all").train_on == "all"


def test_sources_with_fields_keep_to_the_rules_of_sources(write_rows: Write) -> None:
    path = write_rows([{"messages": TALK, "tools": TOOLS, **IDS}])
    check_rows(Jsonl(path=path))
    check_rows(Jsonl(path=path, train_on="all"))


@pytest.mark.usefixtures("hub_sizes")
def test_the_hub_gives_no_arguments_of_other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"type": "function", "function": {"name": "news", "arguments": {"about": "Lima"}}}
    rows = [
        {"messages": [USER, answer(tool_calls=[call])], "tools": TOOLS} for call in (CALL, other)
    ]
    table = datasets.Dataset.from_list([*rows, {"messages": [USER, answer("Yes.")]}])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
    found = [record.given for record in hub_records("a/b", split="train")]
    assert found[:2] == rows
    assert found[2]["messages"] == [USER, answer("Yes.")]


def test_ids_of_prompts_differ_by_tools(write_rows: Write, tmp_path: Path) -> None:
    row = one(write_rows([{"messages": [USER, answer()], "tools": TOOLS}]))
    assert prompt_id(row["prompt"], row["tools"]) != prompt_id(row["prompt"])


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(halo, ["data", *arguments])
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_halo_data_says_which_turns_are_learned(
    write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [USER, answer("No."), USER, answer("Yes."), USER, answer("Sure.")]
    path = f"path={write_rows([{'messages': turns}, {'messages': turns[:4]}])}"
    told = "learned: 2 assistant turns; 1 within prompts are only history"
    assert told in shown("jsonl", "--set", path)
    assert call(["data", "jsonl", "--set", path, "--set", "train_on=all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["turns"] == {"learned": 3, "history": 0}
    assert "history" not in shown("jsonl", "--set", path, "--set", "train_on=all")


def test_halo_data_shows_tools_and_fields(write_rows: Write) -> None:
    path = f"path={write_rows([{'messages': TALK[:3], 'tools': TOOLS}])}"
    printed = shown("jsonl", "--set", path)
    assert 'tools      [{"type": "function", "function": {"name": "weather"' in printed
    assert 'completion {"tool_calls": [{"type": "function", "function": {"name": "weat' in printed
