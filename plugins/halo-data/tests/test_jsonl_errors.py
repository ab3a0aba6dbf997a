from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError, PathError
from halo_data.components import Jsonl

Write = Callable[..., str]
USER = {"role": "user", "content": "Sky?"}
ANSWER = {"role": "assistant", "content": "Blue."}


def message_of(path: str | Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(Jsonl(path=str(path), **options).load("train").rows)
    return str(caught.value)


def test_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n')
    message = message_of(path)
    assert message.startswith(f"{path}:2: not JSON:")
    assert "expected one JSON object per line" in message


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            '{"data":\n [{"text": "a"}]}',
            "over several lines. Its rows may be the list 'data'.",
        ),
        ('{\n"text": "a"\n}', "This file is one object over several lines. Save the rows as an"),
        ('{"data": [{"text": "a"}]}', "If the column 'data' holds all rows, save this list alone"),
    ],
)
def test_a_file_of_one_object_gets_advice(text: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    assert advice in message_of(path)


def test_a_broken_line_gets_no_advice_about_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{"text": \n{"text": "a"}\n')
    assert message_of(path).endswith("or one array in a .json file")


def test_a_line_or_an_array_that_is_nested_too_deeply_is_named(tmp_path: Path) -> None:
    expected = "nested too deeply; expected one JSON object per line, or one array in a .json file"
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a"}\n{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    assert message_of(path) == f"{path}:2: {expected}"
    path = tmp_path / "train.json"
    path.write_text("[" * 100_000)
    assert message_of(path) == f"{path}:1: {expected}"


def test_a_key_twice_and_a_number_without_end_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "id": {"n": 1, "n": 2}}\n')
    assert message_of(path) == f"{path}:2: an object has the key 'n' twice; keep one"
    path.write_text('{"text": "a", "id": ' + "9" * 6000 + "}\n")
    assert message_of(path).startswith(
        f"{path}:1: contains a whole number of more than 4,300 digits; expected shorter numbers"
    )


def test_array_that_is_not_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[\n{"text": "a"},\n{"text"}\n]')
    assert message_of(path).startswith(f"{path}:3: not JSON:")


def test_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('["a", "b"]\n')
    assert f'{path}:1: got ["a", "b"]; expected a JSON object' in message_of(path)


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"text": "\xff\xfe"}\n')
    assert "cannot be read as UTF-8 text" in message_of(path)


def test_file_that_is_not_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    path.write_text('{"text": "a"}\n')
    assert "cannot be read as gzipped UTF-8 text" in message_of(path)


def test_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-10])
    assert "cannot be read as gzipped" in message_of(path)


def test_damaged_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    packed = bytearray(gzip.compress(b'{"text": "a"}\n' * 1000))
    packed[20:40] = bytes(20)
    path.write_bytes(packed)
    assert "cannot be read as gzipped" in message_of(path)


def test_half_a_character_is_an_error_and_a_whole_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "\\ud83d\\ude00"}\n{"text": "\\ud83d"}\n')
    assert message_of(path).startswith(f"{path}:2: a \\ud800 to \\udfff without its other half")


def test_mapping_of_a_column_that_is_not_standard_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="'answr' is not a standard column; expected chosen, "
    ):
        Jsonl(path="a.jsonl", columns={"answr": "b"})


def test_misspelt_column_gets_the_nearest_name(write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": "a", "chosenn": "b", "rejected": "c"}]))
    assert "the columns 'prompt', 'chosenn', 'rejected' are of no known form" in message
    assert "Did you mean columns: {chosen: chosenn}?" in message
    assert "prompt + chosen + rejected" in message
    assert "columns: {standard: theirs}" in message


@pytest.mark.parametrize(
    ("columns", "mapped"),
    [
        (("question", "answer"), "{prompt: question, completion: answer}"),
        (("id", "Prompt", "Response", "User Rating"), "{prompt: Prompt, completion: Response, "
         "label: 'User Rating'}"),
        (("query", "better", "worse"), "{prompt: query, chosen: better, rejected: worse}"),
        (("prompt ", "completion ", "label "), "{prompt: 'prompt ', completion: 'completion ', "
         "label: 'label '}"),
        (("question", "answers", "ratings"), "{prompt: question, completions: answers, "
         "scores: ratings}"),
        (("Conversation", "thumbsUp"), "{messages: Conversation, label: thumbsUp}"),
    ],
)  # fmt: skip
def test_columns_of_usual_names_get_a_mapping(
    columns: tuple[str, ...], mapped: str, write_rows: Write
) -> None:
    message = message_of(write_rows([dict.fromkeys(columns, "x")]))
    assert f"Did you mean columns: {mapped}?" in message


def test_columns_of_unknown_names_get_no_mapping(write_rows: Write) -> None:
    assert "Did you mean" not in message_of(write_rows([{"foo": "x", "bar": "y"}]))


def test_missing_mapped_column_lists_what_is_there(write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": "a", "b": "c"}]), columns={"completion": "answer"})
    assert "no column 'answer', which columns.completion names; the row has 'prompt'" in message


def test_rows_of_two_kinds_in_one_file_are_an_error(write_rows: Write) -> None:
    path = write_rows([{"prompt": "a", "completion": "b"}, {"text": "c"}])
    message = message_of(path)
    assert f"{path}:2: a row of text feedback (text) among rows of demonstration" in message


@pytest.mark.parametrize("label", [2, -1, 0.5, "yes", "good", [True]])
def test_label_must_be_true_or_false(label: Any, write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": "a", "completion": "b", "label": label}]))
    assert f"column 'label' is {label!r} ({type(label).__name__}); expected true or" in message


def test_unknown_role_is_named_with_the_known_ones(write_rows: Write) -> None:
    message = message_of(write_rows([{"messages": [{"role": "bot", "content": "a"}, ANSWER]}]))
    assert "messages[0] has the role 'bot'; expected one of system, developer, user" in message


def test_message_without_text_is_an_error(write_rows: Write) -> None:
    message = message_of(write_rows([{"messages": [USER, {"role": "assistant"}]}]))
    assert "messages[1] is {'role': 'assistant'}; expected" in message


def test_prompt_that_ends_with_an_answer_is_an_error(write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": [USER, ANSWER], "completion": "b"}]))
    assert "column 'prompt' ends with an assistant turn" in message
    assert "move that turn to the completion" in message


def test_completion_of_several_turns_is_an_error(write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": "a", "completion": [ANSWER, USER, ANSWER]}]))
    assert "column 'completion' has the turns assistant, user, assistant" in message


def test_completion_that_is_a_number_is_an_error(write_rows: Write) -> None:
    message = message_of(write_rows([{"prompt": "a", "completion": 3}]))
    assert "column 'completion' is 3; expected text or a list of messages" in message


def test_text_that_is_a_number_is_an_error(write_rows: Write) -> None:
    assert "column 'text' is 3; expected text" in message_of(write_rows([{"text": 3}]))


@pytest.mark.parametrize("scores", [[1.0], [], [1.0, 2.0, 3.0], "ab"])
def test_scores_must_be_one_per_completion(scores: Any, write_rows: Write) -> None:
    row = {"prompt": "a", "completions": ["b", "c"], "scores": scores}
    assert "columns 'completions' and 'scores' do not match" in message_of(write_rows([row]))


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        (None, "null"),
        (True, "true"),
        ("1", '"1"'),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_score_that_is_null_or_no_finite_number_is_an_error(
    score: Any, shown: str, write_rows: Write
) -> None:
    row = {"prompt": "a", "completions": ["b", "c"], "scores": [1.0, score]}
    assert (
        f"scores[1] is {shown}; expected a finite number: leave a completion that nobody scored "
        "out of both lists" in message_of(write_rows([row]))
    )


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n")
    assert message_of(path) == f"{path}: the file has no rows; expected at least one row"


def test_missing_file_names_near_ones(tmp_path: Path, write_rows: Write) -> None:
    write_rows([{"text": "a"}], "feedback.jsonl")
    with pytest.raises(PathError, match=r"feedbak\.jsonl: there.*Did you mean feedback\.jsonl\?"):
        Jsonl(path=str(tmp_path / "feedbak.jsonl")).inspect()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        PathError, match=f"The folder {re.escape(str(tmp_path))}/a does not exist either$"
    ):
        Jsonl(path=str(tmp_path / "a" / "b.jsonl")).inspect()


def test_file_of_another_ending_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_text("a,b\n")
    with pytest.raises(PathError, match=r"expected a file that ends in \.jsonl, \.json, \.csv,"):
        Jsonl(path=str(tmp_path / "data.xlsx")).inspect()


def test_folder_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"the folder holds no file that ends in \.jsonl"):
        Jsonl(path=str(tmp_path)).inspect()


def test_two_files_of_one_split_are_an_error(tmp_path: Path, write_rows: Write) -> None:
    write_rows([{"text": "a"}], "train.jsonl")
    write_rows([{"text": "a"}], "train.json")
    with pytest.raises(PathError, match="both hold the split 'train': remove one"):
        Jsonl(path=str(tmp_path)).inspect()


def test_split_that_is_not_there_gets_the_nearest_name(write_rows: Write) -> None:
    path = write_rows([{"text": "a"}])
    with pytest.raises(DataError, match=r"no split 'trian'\. Did you mean 'train'\?.*There is: tr"):
        Jsonl(path=path).load("trian")


def test_inspect_reads_no_further_than_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"text": "a"}) + "\nnot json\n")
    assert Jsonl(path=str(path)).inspect().feedback == "text"
