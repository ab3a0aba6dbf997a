"""Comparisons with people's labels are read in four forms."""

import json

import pytest

from halo_core.errors import DataError, PathError
from halo_core.feedback import prompt_id
from halo_judge.files.labelled import read_labelled


@pytest.fixture
def read(tmp_path):
    """Writes rows to a file, and reads it."""

    def call(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read_labelled(str(path))

    return call


LLMBAR = {"input": "q", "output_1": "x", "output_2": "y"}
ALPACA = {"instruction": "q", "output_1": "x", "output_2": "y"}
PANDALM = {"instruction": "q", "input": "i", "response1": "x", "response2": "y"}
PLAIN = {"prompt": "q", "a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({**LLMBAR, "label": 1}, ["win"]),
        ({**LLMBAR, "label": 2}, ["loss"]),
        ({**ALPACA, "preference": 1}, ["win"]),
        ({**ALPACA, "preference": 2.0}, ["loss"]),
        ({**ALPACA, "preference": 1.49}, ["win"]),
        ({**ALPACA, "preference": 1.51}, ["loss"]),
        ({**ALPACA, "preference": 1.5}, ["tie"]),
        ({**ALPACA, "preference": 0}, ["tie"]),
        ({**PANDALM, "annotator1": 1, "annotator2": 2, "annotator3": 0}, ["win", "loss", "tie"]),
        ({**PANDALM, "annotator1": 1, "annotator2": None}, ["win"]),
        ({**PLAIN, "label": "a"}, ["win"]),
        ({**PLAIN, "label": "B"}, ["loss"]),
        ({**PLAIN, "labels": ["tie", "a"]}, ["tie", "win"]),
        ({**PLAIN, "labels": {"ann": "b", "bob": "a"}}, ["loss", "win"]),
    ],
)
def test_each_form_says_which_text_people_prefer(read, row, labels):
    (found,) = read(row).comparisons
    assert list(found.labels.values()) == labels
    assert (found.duel.completion, found.duel.baseline) == ("x", "y")


def test_the_prompt_is_the_instruction_and_the_input(read):
    (found,) = read({**PANDALM, "annotator1": 1}).comparisons
    assert found.duel.prompt == [{"role": "user", "content": "q\n\ni"}]


def test_rows_of_alpaca_eval_that_repeat_a_comparison_are_further_annotators(read):
    rows = [{**ALPACA, "preference": p, "annotator_index": i} for i, p in enumerate([1, 2, 1])]
    (found,) = read(*rows).comparisons
    assert found.labels == {"0": "win", "1": "loss", "2": "win"}
    assert found.majority == "win"
    (nameless,) = read({**LLMBAR, "label": 1}, {**LLMBAR, "label": 2}).comparisons
    assert list(nameless.labels.values()) == ["win", "loss"]
    assert nameless.majority is None


def test_rows_of_pandalm_that_repeat_a_comparison_stay_apart(read):
    row = {**PANDALM, "annotator1": 1}
    first, second = read(row, row).comparisons
    assert second.duel.prompt_id == f"{first.duel.prompt_id}.2"


def test_rows_without_text_or_label_are_left_out_and_counted(read):
    found = read(
        {**PANDALM, "response1": True, "annotator1": 2},
        {**ALPACA, "preference": None},
        {**PLAIN, "label": "a"},
    )
    assert len(found.comparisons) == 1
    assert found.dropped == {"a text is missing or is not a text": 1, "no label": 1}
    assert [list(rated.labels.values()) for rated in found.rated] == [["win"], ["loss"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**LLMBAR, "label": 3}, "rows.jsonl:1: label is 3; expected 1 or 2"),
        ({**LLMBAR, "label": True}, "rows.jsonl:1: label is True; expected 1 or 2"),
        (
            {**ALPACA, "preference": 2.5},
            "rows.jsonl:1: preference is 2.5; expected a number from 1 (output_1) to 2 (output_2), "
            "and 1.5 or 0 for a draw",
        ),
        ({**ALPACA, "preference": "1"}, "rows.jsonl:1: preference is '1'; expected a number"),
        (
            {**PANDALM, "annotator1": 1, "annotator2": 4},
            "rows.jsonl:1: annotator2 is 4; expected 1, 2, or 0 for a tie",
        ),
        ({**PLAIN, "label": "c"}, "rows.jsonl:1: label is 'c'; expected a, b or tie"),
        ({**PLAIN, "labels": ["a", 1]}, "rows.jsonl:1: labels[1] is 1; expected a, b or tie"),
        ({**PLAIN, "labels": "a"}, "rows.jsonl:1: labels is 'a'; expected a list of labels, or"),
        (
            {"instruction": "q", "output": "x"},
            "rows.jsonl:1: got a row with instruction, output; expected output_1, output_2 and "
            "label (LLMBar) or preference (AlpacaEval); response1, response2 and annotator1 to "
            "annotatorN (PandaLM); or prompt, a, b and label or labels",
        ),
        (
            {**ALPACA, "preference": None},
            "rows.jsonl: no labelled comparison in it (1 left out: no label)",
        ),
    ],
)
def test_what_is_no_label_is_named_with_its_line(read, row, message):
    with pytest.raises(DataError) as told:
        read(row)
    assert message in str(told.value)


def test_files_that_are_not_there_or_empty_are_named(read, tmp_path):
    with pytest.raises(DataError, match=r"no labelled comparison in it \(it is empty\)"):
        read()
    with pytest.raises(PathError, match=r"there is no such file\. Did you mean rows\.jsonl\?"):
        read_labelled(str(tmp_path / "row.jsonl"))
    with pytest.raises(PathError, match="this is a folder; expected a file of labelled"):
        read_labelled(str(tmp_path))


def test_tools_and_fields_of_a_labelled_row_are_judged(read):
    tools, calls = [{"name": "weather"}], {"tool_calls": [{"name": "weather"}]}
    row = {**PLAIN, "label": "a", "tools": tools, "b_fields": calls}
    plain, tooled = read({**PLAIN, "label": "a"}, row).comparisons
    assert (tooled.duel.tools, tooled.duel.fields, tooled.duel.baseline_fields) == (
        tools,
        None,
        calls,
    )
    assert plain.duel.tools is None
    assert tooled.duel.prompt_id == prompt_id(tooled.duel.prompt, tools) != plain.duel.prompt_id
