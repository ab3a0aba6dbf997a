"""Every form in the table of the page about data is read from a file, and so is its decision."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from halo_core.cli.group import halo
from halo_core.errors import DataError
from halo_data.components import Files
from halo_data.rows.recognise import NAMES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "data.md"
Write = Callable[..., str]
USER = {"role": "user", "content": "Sky?"}
BLUE, RED = ({"role": "assistant", "content": text} for text in ("Blue.", "Red."))
PROMPT = [USER]
PAIR = {"prompt": PROMPT, "chosen": "Blue.", "rejected": "Red."}
SHOWN = {"prompt": PROMPT, "completion": "Blue."}
GOOD = {**SHOWN, "desirable": True}
SHAREGPT = [{"from": "human", "value": "Sky?"}, {"from": "gpt", "value": "Blue."}]
INPUT = [{"role": "user", "content": "Colour?\nThe sky."}]

ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "prompt + chosen + rejected": (
        {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."},
        PAIR,
        "paired; prompt <- prompt, chosen <- chosen, rejected <- rejected",
    ),
    "messages + chosen + rejected": (
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": RED},
        PAIR,
        "paired; messages <- conversations, chosen <- chosen, rejected <- rejected",
    ),
    "chosen + rejected": (
        {"chosen": [USER, BLUE], "rejected": [USER, RED]},
        PAIR,
        "paired; chosen <- chosen, rejected <- rejected",
    ),
    "prompt + completions + scores": (
        {"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [1, 0]},
        {"prompt": PROMPT, "completions": ["Blue.", "Red."], "scores": [1.0, 0.0]},
        "scored; prompt <- prompt, completions <- completions, scores <- scores",
    ),
    "prompt + completion + label": (
        {"prompt": "Sky?", "completion": "Blue.", "label": True},
        GOOD,
        "binary; prompt <- prompt, completion <- completion, label <- label",
    ),
    "prompt + completion": (
        {"prompt": "Sky?", "completion": "Blue."},
        SHOWN,
        "demonstration; prompt <- prompt, completion <- completion",
    ),
    "messages + label": (
        {"messages": [USER, BLUE], "kto_tag": True},
        GOOD,
        "binary; messages <- messages, label <- kto_tag",
    ),
    "messages": (
        {"conversations": SHAREGPT},
        SHOWN,
        "demonstration; messages <- conversations",
    ),
    "text": ({"text": "Once."}, {"text": "Once."}, "text; text <- text"),
    "instruction + chosen + rejected": (
        {"instruction": "Sky?", "input": "", "chosen": "Blue.", "rejected": "Red."},
        PAIR,
        "paired; prompt <- instruction, chosen <- chosen, rejected <- rejected",
    ),
    "instruction + output + label": (
        {"instruction": "Colour?", "input": "The sky.", "output": "Blue.", "kto_tag": True},
        {**GOOD, "prompt": INPUT},
        "binary; prompt <- instruction + input, completion <- output, label <- kto_tag",
    ),
    "instruction + output": (
        {"instruction": "Colour?", "input": "The sky.", "output": "Blue."},
        {**SHOWN, "prompt": INPUT},
        "demonstration; prompt <- instruction + input, completion <- output",
    ),
    "instruction + output_1 + output_2 + preference": (
        {"instruction": "Sky?", "output_1": "Red.", "output_2": "Blue.", "preference": 1.9},
        PAIR,
        "paired; prompt <- instruction, chosen, rejected <- output_1 + output_2 + preference",
    ),
    "input + preferred_output + non_preferred_output": (
        {"input": {"messages": PROMPT}, "preferred_output": [BLUE], "non_preferred_output": [RED]},
        PAIR,
        "paired; prompt <- input, chosen <- preferred_output, rejected <- non_preferred_output",
    ),
    "prompt": ({"prompt": "Sky?", "id": "7"}, {"prompt": PROMPT}, "prompts; prompt <- prompt"),
    "instruction": (
        {"instruction": "Colour?", "input": "The sky."},
        {"prompt": INPUT},
        "prompts; prompt <- instruction + input",
    ),
}


def documented() -> list[str]:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("| columns (form) | kind | used by |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [" + ".join(re.findall(r"`(\w+)`", row)) for row in rows]


def read(path: str, **options: Any) -> list[dict[str, Any]]:
    rows = Files(path=path, **options).load("train").rows
    return [{k: v for k, v in row.items() if k != "id"} for row in rows]


def test_the_table_has_every_form_and_every_form_has_a_file() -> None:
    assert documented() == list(NAMES) == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_table_is_read_and_the_decision_is_told(
    name: str, write_rows: Write
) -> None:
    row, expected, decision = ROWS[name]
    path = write_rows([row], "own.jsonl")
    assert read(path) == [expected]
    assert read(path, form=name) == [expected]
    assert Files(path=path).inspect().read_as == (f"own.jsonl: {decision}",)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_table_is_read_from_a_csv_file(name: str, tmp_path: Path) -> None:
    import csv

    row, expected, _ = ROWS[name]
    path = tmp_path / "own.csv"
    cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(cells))
        writer.writeheader()
        writer.writerow(cells)
    assert read(str(path)) == [expected]


def test_the_decision_is_printed(tmp_path: Path) -> None:
    (tmp_path / "kto.csv").write_text("question,completion,label\nSky?,Blue.,1\n")
    options = ("--set", f"path={tmp_path / 'kto.csv'}", "--set", "columns={prompt: question}")
    done = CliRunner().invoke(halo, ["data", "files", *options])
    line = "kto.csv: binary; prompt <- question, completion <- completion, label <- label"
    assert f"\n  {line}\n" in done.output


@pytest.mark.parametrize(
    ("row", "first", "second"),
    [
        (
            {"instruction": "a", "output": "b", "text": "c"},
            "text (text)",
            "instruction + output (demonstration)",
        ),
        (
            {"prompt": "a", "completion": "b", "label": 1, "chosen": "c", "rejected": "d"},
            "prompt + chosen + rejected (paired)",
            "prompt + completion + label (binary)",
        ),
        (
            {"prompt": "a", "completion": "b", "instruction": "c", "output": "d"},
            "prompt + completion (demonstration)",
            "instruction + output (demonstration)",
        ),
    ],
)
def test_two_forms_that_fit_are_an_error_and_an_option_decides(
    row: dict[str, Any], first: str, second: str, write_rows: Write
) -> None:
    path = write_rows([row])
    with pytest.raises(DataError) as caught:
        Files(path=path).inspect()
    names = [text.partition(" (")[0] for text in (first, second)]
    assert f"fit two forms, {first} and {second}" in caught.value.message
    assert f"choose with form: {names[0]} or form: {names[1]}" in caught.value.message
    kinds = [Files(path=path, form=name).inspect().feedback for name in names]
    assert kinds == [re.findall(r"\((\w+)\)", text)[0] for text in (first, second)]
    digests = {Files(path=path, form=name).inspect().digest for name in names}
    assert len(digests) == 2


def test_no_form_or_two_forms_exit_with_2(write_rows: Write) -> None:
    both = {"prompt": "a", "completion": "b", "label": 1, "chosen": "c", "rejected": "d"}
    for row, told in ((both, "fit two forms"), ({"a": 1}, "are of no known form")):
        path = write_rows([row])
        done = CliRunner().invoke(halo, ["data", "files", "--set", f"path={path}"])
        assert told in str(done.exception)
        assert getattr(done.exception, "exit_code", None) == 2


def test_a_form_whose_columns_are_missing_is_an_error(write_rows: Write) -> None:
    path = write_rows([{"prompt": "a", "completion": "b"}])
    with pytest.raises(DataError, match="form is messages, and the row has no column 'messages'"):
        Files(path=path, form="messages").inspect()
    with pytest.raises(ValueError, match="'alpaca' is not a form; expected one of prompt \\+ "):
        Files(path=path, form="alpaca")


def test_a_pair_and_its_messages_are_still_a_pair(write_rows: Write) -> None:
    row = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red.", "messages": [USER, BLUE]}
    assert read(write_rows([row])) == [PAIR]


def test_alpaca_reads_system_and_history(write_rows: Write) -> None:
    row = {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]}
    texts = [m["content"] for m in read(write_rows([row]))[0]["prompt"]]
    assert texts == ["s", "a", "b", "c"]
    path = write_rows([{**row, "history": [["a"]]}])
    with pytest.raises(DataError, match=r"history\[0\] is .*; expected \[question, answer\]"):
        read(path)


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversations": SHAREGPT}, {**SHOWN, "prompt": [SYSTEM, USER]}),
        ({"messages": [USER, BLUE], "label": True}, {**GOOD, "prompt": [SYSTEM, USER]}),
        (
            {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": RED},
            {**PAIR, "prompt": [SYSTEM, USER]},
        ),
        # The sides may repeat the turns of the prompt.
        (
            {"messages": [USER], "chosen": [USER, BLUE], "rejected": [USER, RED]},
            {**PAIR, "prompt": [SYSTEM, USER]},
        ),
        # The messages have it already.
        ({"messages": [SYSTEM, USER, BLUE]}, {**SHOWN, "prompt": [SYSTEM, USER]}),
    ],
)
def test_the_column_system_beside_messages_is_the_system_message(
    row: dict[str, Any], expected: dict[str, Any], write_rows: Write
) -> None:
    path = write_rows([{**row, "system": "Be brief."}])
    loaded = Files(path=path).load("train")
    assert [{k: v for k, v in kept.items() if k != "id"} for kept in loaded.rows] == [expected]
    assert not loaded.ignored


def test_the_decision_says_that_the_column_system_is_read(write_rows: Write) -> None:
    path = write_rows([{"conversations": SHAREGPT, "system": "Be brief."}])
    assert Files(path=path).inspect().read_as == (
        "train.jsonl: demonstration; messages <- system + conversations",
    )


def test_the_column_system_is_in_the_prompt_of_each_learned_turn(write_rows: Write) -> None:
    path = write_rows([{"conversations": [*SHAREGPT, *SHAREGPT], "system": "Be brief."}])
    first, second = read(path, train_on="all")
    assert first["prompt"] == [SYSTEM, USER]
    assert second["prompt"] == [SYSTEM, USER, BLUE, USER]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ({"messages": [{**SYSTEM, "content": "Be long."}, USER, BLUE]}, "Be brief."),
        ({"messages": [USER, BLUE]}, {"name": "bart"}),
        ({"prompt": "Sky?", "completion": "Blue."}, "bart"),
        ({"chosen": [USER, BLUE], "rejected": [USER, RED]}, "bart"),
    ],
)
def test_a_column_system_with_two_meanings_is_still_counted_as_ignored(
    row: dict[str, Any], value: Any, write_rows: Write
) -> None:
    plain = read(write_rows([row]))
    loaded = Files(path=write_rows([{**row, "system": value}])).load("train")
    assert [{k: v for k, v in kept.items() if k != "id"} for kept in loaded.rows] == plain
    assert loaded.ignored == {"system": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Sky?", "completion": "Blue."}, SHOWN),
        ({"prompt": PROMPT, "chosen": [USER, BLUE], "rejected": [USER, RED]}, PAIR),
        ({"chosen": [USER, BLUE], "rejected": [USER, RED]}, PAIR),
    ],
)
def test_columns_may_name_the_system_message_of_any_prompt(
    row: dict[str, Any], expected: dict[str, Any], write_rows: Write
) -> None:
    path = write_rows([{**row, "rules": "Be brief."}])
    assert read(path, columns={"system": "rules"}) == [{**expected, "prompt": [SYSTEM, USER]}]


def test_prompts_alone_may_have_a_system_message(write_rows: Write) -> None:
    path = write_rows([{"prompt": "Sky?", "rules": "Be brief."}])
    rows = read(path, columns={"system": "rules"}, form="prompt")
    assert rows == [{"prompt": [SYSTEM, USER]}]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"messages": [{**SYSTEM, "content": "Be long."}, USER, BLUE], "rules": "Be brief."},
            "but the messages begin with another system message, 'Be long.'. Leave it out",
        ),
        ({"prompt": "Sky?", "completion": "Blue.", "rules": 7}, "but it is 7; expected text"),
        ({"text": "Once.", "rules": "Be brief."}, "but rows of text have no place for it"),
    ],
)
def test_a_system_message_that_columns_names_and_that_cannot_be_used_is_an_error(
    row: dict[str, Any], told: str, write_rows: Write
) -> None:
    with pytest.raises(DataError, match=re.escape(told)):
        read(write_rows([row]), columns={"system": "rules"})


@pytest.mark.parametrize(
    ("preference", "outcome"),
    [
        (1, "Red."),
        (1.49, "Red."),
        (2, "Blue."),
        ("1.6", "Blue."),
        (1.5, "a draw"),
        (None, "no label"),
    ],
)
def test_preferences_of_alpaca_eval(preference: Any, outcome: str, write_rows: Write) -> None:
    row = {"instruction": "Sky?", "output_1": "Red.", "output_2": "Blue."}
    loaded = Files(path=write_rows([{**row, "preference": preference}])).load("train")
    chosen = [kept["chosen"] for kept in loaded.rows]
    assert [*chosen, *loaded.dropped] == [outcome]


@pytest.mark.parametrize(
    ("preference", "told"),
    [
        ("1,5", "column 'preference' is \"1,5\"; expected a number with a decimal point"),
        (0, "preference is 0; expected a number from 1 (output_1 is preferred) to 2"),
        (True, "column 'preference' is true; expected a number"),
    ],
)
def test_a_preference_that_is_no_number_from_1_to_2_is_an_error(
    preference: Any, told: str, write_rows: Write
) -> None:
    row = {"instruction": "Sky?", "output_1": "Red.", "output_2": "Blue."}
    with pytest.raises(DataError, match=re.escape(told)):
        read(write_rows([{**row, "preference": preference}]))


def test_openai_preferences_keep_their_tools_and_name_unknown_fields(write_rows: Write) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    asked = {"messages": PROMPT, "tools": [tool], "parallel_tool_calls": True}
    row = {"input": asked, "preferred_output": [BLUE], "non_preferred_output": [RED]}
    assert read(write_rows([row])) == [{**PAIR, "tools": [tool]}]
    with pytest.raises(DataError, match="column 'input' has the field 'model', which nothing"):
        read(write_rows([{**row, "input": {**asked, "model": "x"}}]))
    with pytest.raises(DataError, match="column 'input' is 'a'; expected"):
        read(write_rows([{**row, "input": "a"}]))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [USER, BLUE, USER]}, SHOWN),
        ({"conversations": [*SHAREGPT, *SHAREGPT[:1], *SHAREGPT[:1]]}, SHOWN),
        ({"messages": [USER, BLUE, USER], "label": True}, GOOD),
        ({"chosen": [USER, BLUE, USER], "rejected": [USER, RED]}, PAIR),
    ],
)
def test_a_turn_of_the_user_at_the_end_keeps_the_row_and_is_counted(
    row: dict[str, Any], expected: dict[str, Any], write_rows: Write
) -> None:
    loaded = Files(path=write_rows([row])).load("train")
    rows = [{k: v for k, v in kept.items() if k != "id"} for kept in loaded.rows]
    assert rows == [expected]
    assert (loaded.dropped, loaded.ignored) == ({}, {"user turns after the last answer": 1})


def test_real_files_of_llama_factory_and_alpaca_eval_are_read(real_data: Path) -> None:
    folder = real_data / "kto_dpo_demo"
    for name, kind in (("kto_en_demo.json", "binary"), ("dpo_en_demo.json", "paired")):
        source = Files(path=str(folder / name))
        assert source.inspect().feedback == kind
        assert len(list(source.load("train").rows)) == 300
    eval_ = Files(path=str(real_data / "judge" / "alpaca_eval2_alpaca-7b.jsonl.gz"))
    assert eval_.inspect().feedback == "paired"
    loaded = eval_.load("train")
    assert len(list(loaded.rows)) + sum(loaded.dropped.values()) == 805


def test_prompts_with_another_column_are_no_prompts_alone_until_the_form_is_named(
    write_rows: Write,
) -> None:
    path = write_rows([{"prompt": "Sky?", "answer": "Blue.", "rating": 1}])
    with pytest.raises(DataError) as caught:
        Files(path=path).inspect()
    assert "are of no known form" in caught.value.message
    assert caught.value.message.endswith("To read prompts alone, to sample on, write form: prompt")
    loaded = Files(path=path, form="prompt").load("train")
    assert [row["prompt"] for row in loaded.rows] == [PROMPT]
    assert loaded.ignored == {"answer": 1, "rating": 1}


def test_an_empty_prompt_is_dropped_and_tools_stay(write_rows: Write) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    loaded = Files(path=write_rows([{"prompt": "a", "tools": [tool]}, {"prompt": " "}])).load(
        "train"
    )
    assert [row.get("tools") for row in loaded.rows] == [[tool]]
    assert loaded.dropped == {"empty prompt": 1}


def test_prompts_alone_are_shown_and_nothing_is_trained_on_them(
    write_rows: Write, tmp_path: Path
) -> None:
    path = write_rows([{"prompt": "Sky?"}, {"prompt": "Sea?"}])
    done = CliRunner().invoke(halo, ["data", "files", "--set", f"path={path}"])
    assert "files: 2 rows of prompts feedback, 2 prompts" in done.output
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"name: own\nmodel: {{hub: someone/small}}\ndata: {{train: {{use: files, path: {path}}}}}\n"
        "stages: {sft: {use: train, loss: sft, data: train}}\n"
    )
    done = CliRunner().invoke(halo, ["validate", str(spec)])
    told = "sft learns from demonstration feedback, but the data 'train' (files) is prompts"
    assert told in str([error.message for error in done.exception.errors])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "loss", "asked"),
    [
        ({"prompt": "a", "completion": "b", "label": True}, "sft", "binary-to-demonstration"),
        ({"prompt": "a", "completions": ["b"], "scores": [1]}, "dpo", "scored-to-paired"),
        ({"prompt": "a", "completions": ["b"], "scores": [1]}, "kto", "scored-to-binary"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "grpo", "paired-to-scored"),
        ({"prompt": "a", "completion": "b"}, "dpo", None),
    ],
)
def test_data_of_another_kind_name_the_conversion_to_ask_for(
    row: dict[str, Any], loss: str, asked: str | None, write_rows: Write, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: own\nmodel: {hub: someone/small}\n"
        f"data: {{rows: {{use: files, path: {write_rows([row])}}}}}\n"
        f"stages: {{align: {{use: train, loss: {loss}, data: rows}}}}\n"
    )
    done = CliRunner().invoke(halo, ["validate", str(spec)])
    (message,) = [error.message for error in done.exception.errors]  # type: ignore[union-attr]
    if asked is None:
        assert message.endswith("halo data shows what a source holds")
    else:
        assert message.endswith(f": rows: {{use: {asked}, source: {{use: files, ...}}}}")
