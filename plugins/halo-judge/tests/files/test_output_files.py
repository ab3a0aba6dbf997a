"""Files of outputs are read in both forms and paired by prompt."""

import json

import pytest

from halo_core.errors import DataError, PathError
from halo_core.feedback import prompt_id
from halo_judge.files.labelled import read_labelled
from halo_judge.files.output_pairs import clusters, pair_outputs, pair_with_targets, subset
from halo_judge.files.outputs import read_outputs


@pytest.fixture
def file(tmp_path):
    """Writes rows to a file, as an array or one per line, and returns its path."""

    def write(rows, name="rows.jsonl"):
        path = tmp_path / name
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(json.dumps(rows) if name.endswith(".json") else lines, encoding="utf-8")
        return str(path)

    return write


def alpaca(instruction, output, **more):
    return {"instruction": instruction, "output": output, **more}


def test_samples_of_halo_and_rows_of_alpaca_eval_meet_on_the_same_prompt(file, make_sample):
    ours = read_outputs(file([make_sample(1, "good", None)], "ours.jsonl"))
    theirs = read_outputs(file([alpaca("q1", "bad")], "theirs.json"))
    (duel,) = pair_outputs(ours, theirs).duels
    assert (duel.completion, duel.baseline) == ("good", "bad")
    assert (duel.tokens, duel.baseline_tokens) == (3, None)


def test_a_sampling_stages_folder_is_its_samples(file, make_sample, tmp_path):
    file([make_sample(1, "good", "bad")], "samples.jsonl")
    read = read_outputs(str(tmp_path))
    assert read.path == tmp_path / "samples.jsonl"
    assert read.name == tmp_path.name


def test_an_input_follows_the_instruction(file):
    read = read_outputs(file([alpaca("Say", "x", input="this"), alpaca("Say", "x", input="")]))
    assert [output.prompt[0]["content"] for output in read.outputs] == ["Say\n\nthis", "Say"]


def test_a_file_is_called_by_its_one_generator_else_by_its_name(file):
    assert read_outputs(file([alpaca("q", "x", generator="g")])).name == "g"
    rows = [alpaca("q", "x", generator="g"), alpaca("p", "x", generator="h")]
    assert read_outputs(file(rows)).name == "rows.jsonl"


def test_outputs_that_are_no_text_are_left_out_and_counted(file):
    read = read_outputs(file([alpaca("q", True), alpaca("p", None), alpaca("r", "x")]))
    assert [output.text for output in read.outputs] == ["x"]
    assert read.dropped == {"an output that is not a text": 2}


def test_several_outputs_of_a_prompt_are_paired_in_order(file):
    ours = read_outputs(file([alpaca("q", t) for t in ("a1", "a2", "a3")], "a.jsonl"))
    theirs = read_outputs(file([alpaca("q", t) for t in ("b1", "b2")], "b.jsonl"))
    pairing = pair_outputs(ours, theirs)
    assert [(d.completion, d.baseline) for d in pairing.duels] == [("a1", "b1"), ("a2", "b2")]
    assert (pairing.alone, pairing.other_alone) == (1, 0)


def test_one_output_meets_each_of_the_others_of_its_prompt(file):
    many = [alpaca("q", "a1"), alpaca("p", "a2"), alpaca("q", "a3")]
    ours = read_outputs(file(many, "a.jsonl"))
    theirs = read_outputs(file([alpaca("q", "b"), alpaca("p", "c"), alpaca("r", "d")], "b.jsonl"))
    pairing = pair_outputs(ours, theirs)
    found = [(d.completion, d.baseline) for d in pairing.duels]
    assert found == [("a1", "b"), ("a2", "c"), ("a3", "b")]
    assert (pairing.alone, pairing.other_alone, pairing.prompts) == (0, 1, 2)
    ids = [duel.prompt_id for duel in pairing.duels]
    assert ids[2] == f"{ids[0]}.2"
    assert clusters(pairing.duels) == [ids[0], ids[1], ids[0]]
    turned = pair_outputs(theirs, ours)
    assert [(d.completion, d.baseline) for d in turned.duels] == [
        ("b", "a1"),
        ("b", "a3"),
        ("c", "a2"),
    ]


def test_targets_are_those_of_each_sample(file, make_sample):
    rows = [make_sample(1, "a", "t1"), make_sample(2, "b", None), make_sample(1, "c", "t1")]
    pairing = pair_with_targets(read_outputs(file(rows)))
    assert [(d.completion, d.baseline) for d in pairing.duels] == [("a", "t1"), ("c", "t1")]
    assert pairing.alone == 1


def test_a_subset_depends_on_the_seed_and_the_prompts_alone(file):
    rows = [alpaca(f"q{i}", f"a{i}") for i in range(30)]
    ours, theirs = (read_outputs(file(r, n)) for r, n in ((rows, "a.jsonl"), (rows, "b.jsonl")))
    turned = read_outputs(file(rows[::-1], "c.jsonl"))
    chosen = subset(pair_outputs(ours, theirs).duels, 5, 1)
    assert len(chosen) == 5
    assert {d.prompt_id for d in subset(pair_outputs(turned, theirs).duels, 5, 1)} == {
        d.prompt_id for d in chosen
    }
    assert subset(pair_outputs(ours, theirs).duels, 5, 2) != chosen
    assert chosen == [d for d in pair_outputs(ours, theirs).duels if d in chosen]
    assert len(subset(pair_outputs(ours, theirs).duels, 99, 1)) == 30


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"input": "x", "output_1": "y"},
            "rows.jsonl:1: got a row with input, output_1; expected prompt and completion (samples "
            "of halo), or instruction and output (AlpacaEval)",
        ),
        ({}, "rows.jsonl:1: got a row with nothing; expected prompt"),
        (
            {"instruction": 3, "output": "y"},
            "rows.jsonl:1: the instruction is 3 and the input None; expected text",
        ),
        (
            {"prompt": [{"role": "user"}], "completion": "y"},
            "rows.jsonl:1: prompt is [{'role': 'user'}]; expected text, or a list of messages "
            '{"role": text, "content": text}',
        ),
        (
            {"instruction": "q", "output": 1},
            "rows.jsonl: no outputs in it (1 left out: an output that is not a text); expected at "
            "least one",
        ),
    ],
)
def test_a_row_that_is_no_output_is_named(file, row, message):
    with pytest.raises(DataError) as told:
        read_outputs(file([row]))
    assert message in str(told.value)


def test_a_wrong_path_is_answered_with_the_nearest_name(file, tmp_path):
    file([], "outputs.jsonl")
    with pytest.raises(PathError) as told:
        read_outputs(str(tmp_path / "output.jsonl"))
    assert str(told.value) == (
        f"{tmp_path / 'output.jsonl'}: there is no such file. Did you mean outputs.jsonl?"
    )
    with pytest.raises(PathError, match=r"the folder holds no samples\.jsonl; expected a file of"):
        read_outputs(str(tmp_path))


def test_files_without_a_common_prompt_show_how_theirs_begin(file):
    ours = read_outputs(file([alpaca("Name a cow.", "x")], "a.jsonl"))
    theirs = read_outputs(file([alpaca("Name a cow", "x")], "b.jsonl"))
    with pytest.raises(DataError) as told:
        pair_outputs(ours, theirs)
    assert str(told.value) == (
        f"{theirs.path}: none of its 1 prompts is among the 1 of {ours.path}; expected the same "
        "prompts, word by word. The first here: 'Name a cow'; there: 'Name a cow.'"
    )
    with pytest.raises(DataError, match="none of the 1 outputs has a target; expected samples of"):
        pair_with_targets(ours)


TOOLS = [{"type": "function", "function": {"name": "weather"}}]
CALLS = {"tool_calls": [{"function": {"name": "weather", "arguments": {}}}]}


def test_samples_meet_by_prompt_and_tools(file, make_sample):
    line = make_sample(1, "good", None)
    tooled = {**line, "prompt_id": prompt_id(line["prompt"], TOOLS), "tools": TOOLS}
    ours = read_outputs(file([line, {**tooled, "completion_fields": CALLS}], "ours.jsonl"))
    theirs = read_outputs(file([{**tooled, "completion": "bad"}], "theirs.jsonl"))
    pairing = pair_outputs(ours, theirs)
    (duel,) = pairing.duels
    assert (duel.prompt_id, duel.tools) == (tooled["prompt_id"], TOOLS)
    assert (duel.fields, duel.baseline_fields) == (CALLS, None)
    assert (pairing.alone, pairing.other_alone) == (1, 0)
    assert clusters(pairing.duels) == [tooled["prompt_id"]]


def test_a_row_without_an_id_is_named_by_its_prompt_and_tools(file):
    row = {"prompt": "q", "completion": "good", "tools": TOOLS}
    ours = read_outputs(file([row], "ours.jsonl"))
    theirs = read_outputs(file([{**row, "completion": "bad", "prompt_id": "7"}], "theirs.jsonl"))
    (duel,) = pair_outputs(ours, theirs).duels
    assert duel.prompt_id == prompt_id([{"role": "user", "content": "q"}], TOOLS)


def test_ids_that_rows_have_of_their_own_match_them(file):
    row = {"prompt": [{"role": "user", "content": "q", "name": "Ana"}], "completion": "good"}
    old = {"prompt": [{"role": "user", "content": "q"}], "completion": "bad", "prompt_id": "7"}
    ours = read_outputs(file([{**row, "prompt_id": "7"}], "ours.jsonl"))
    (duel,) = pair_outputs(ours, read_outputs(file([old], "theirs.jsonl"))).duels
    assert duel.prompt_id == "7"


def test_an_id_that_names_two_prompts_is_told(file):
    rows = [{"prompt": f"q{i}", "completion": "x", "prompt_id": "7"} for i in range(2)]
    with pytest.raises(DataError) as told:
        read_outputs(file(rows))
    assert "rows.jsonl:2: the prompt_id '7' names another prompt than in a row before" in (
        str(told.value)
    )
    ours, theirs = (read_outputs(file([row], f"{row['prompt']}.jsonl")) for row in rows)
    with pytest.raises(DataError, match="the prompt_id '7' names another prompt than in the other"):
        pair_outputs(ours, theirs)


def test_targets_keep_their_fields_and_calls_alone_are_an_output(file):
    row = {"prompt": "q", "completion": None, "completion_fields": CALLS, "target": "t"}
    read = read_outputs(file([{**row, "target_fields": {"thinking": "?"}}]))
    (duel,) = pair_with_targets(read).duels
    assert (duel.completion, duel.fields, duel.baseline_fields) == ("", CALLS, {"thinking": "?"})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"tools": {}}, "rows.jsonl:1: tools is {}; expected a list of objects"),
        ({"target_fields": [1]}, "rows.jsonl:1: target_fields is [1]; expected an object"),
    ],
)
def test_tools_and_fields_of_another_form_are_named_with_their_line(file, column, message):
    with pytest.raises(DataError) as told:
        read_outputs(file([{"prompt": "q", "completion": "x", **column}]))
    assert message in str(told.value)


@pytest.mark.parametrize("read", [read_outputs, read_labelled])
def test_a_device_is_refused_and_not_read_without_end(read):
    with pytest.raises(PathError, match="/dev/zero: this is a device; expected a file"):
        read("/dev/zero")
