"""Labelled completions keep the facts that samples and rows have about them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core.errors import DataError
from halo_core.judge import Verdict
from halo_core.scoring_judge import Score, ScoringJudge
from halo_core.testing.context import stage_context
from halo_core.testing.rows import data_set
from halo_judge.label_stage.options import Label

TOOLS = [{"type": "function", "function": {"name": "weather"}}]
DIGESTS = {"tokenizer": "0a", "template": "1b"}


class Lengths(ScoringJudge):
    """Scores texts by their length, and records them."""

    asked: ClassVar[list[str]] = []
    sign: float = Field(default=1.0, description="Whether long texts are good ones.")

    def open_scoring(self, context):
        return nullcontext(self)

    def score(self, answers):
        for answer in answers:
            self.asked.append(answer.completion)
            yield Score(answer.id, self.sign * len(answer.completion))


@pytest.fixture(autouse=True)
def _asked_nothing() -> None:
    Lengths.asked.clear()


@pytest.fixture
def sampled(make_sample):
    """A line of samples.jsonl with ids of its own and digests."""

    def line(number: int, completion: str, ids: list[int], **more: Any) -> dict[str, Any]:
        return {**make_sample(number, completion, None), "token_ids": ids, **DIGESTS, **more}

    return line


def label(context: Any, judge: Any = None, **options: Any) -> list[dict[str, Any]]:
    given = {"of": "answers"} if "of" in context.inputs else {"data": "rows"}
    if "against" in context.inputs:
        given["against"] = "other"
    stage = Label(judge=judge or Lengths(), **given, **options)
    assert stage.mistakes() == []
    stage.run(context)
    lines = (context.folder / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


BINARY = {"feedback": "binary", "threshold": 2.0}
DRAWN = {"temperature": 0.7, "top_p": 1.0, "top_k": 0}


@pytest.mark.parametrize("feedback", ["binary", "scored"])
def test_a_labelled_sample_keeps_how_it_was_drawn(judge_context, sampled, feedback):
    lines = [
        sampled(1, "abc", [5, 6], token_logps=[-1.0, -2.0], sampling_options=DRAWN),
        sampled(1, "ab", [5], token_logps=[-1.0], sampling_options=None),
    ]
    options = BINARY if feedback == "binary" else {"feedback": "scored"}
    rows = label(judge_context(lines), **options)
    if feedback == "scored":
        assert rows[0]["completions_sampling"] == [DRAWN, None]
    else:
        assert [row.get("completion_sampling") for row in rows] == [DRAWN, None]


def test_a_labelled_sample_keeps_its_ids_finish_digests_and_tools(judge_context, sampled):
    lines = [sampled(1, "abc", [5, 6], finish="length", tools=TOOLS), sampled(2, "a", [7])]
    first, second = label(judge_context(lines), **BINARY)
    assert first["completion_token_ids"] == [5, 6]
    assert (first["finish"], first["tools"], first["desirable"]) == ("length", TOOLS, True)
    assert {name: first[name] for name in DIGESTS} == DIGESTS
    assert (second["completion_token_ids"], second["finish"]) == ([7], "stop")
    assert "tools" not in second


def test_samples_without_ids_make_the_rows_that_they_made(judge_context, make_sample):
    bare = {
        k: v for k, v in make_sample(1, "abc", None).items() if k not in ("token_ids", "finish")
    }
    (row,) = label(judge_context([bare]), **BINARY)
    assert list(row) == ["v", "id", "prompt", "completion", "desirable", "score"]


@pytest.mark.parametrize("compares", [True, False])
def test_a_pair_keeps_what_belongs_to_each_side(judge_context, sampled, scripted, compares):
    judge = (
        scripted(lambda c: Verdict(c.id, "A" if len(c.a) > len(c.b) else "B", ""))
        if compares
        else None
    )
    context = judge_context(
        [sampled(1, "a", [1], finish="length", tools=TOOLS)],
        against=[sampled(1, "abc", [2, 3], tools=TOOLS)],
    )
    (row,) = label(context, judge, feedback="paired")
    assert (row["chosen"], row["chosen_token_ids"], row["chosen_finish"]) == ("abc", [2, 3], "stop")
    assert (row["rejected"], row["rejected_token_ids"]) == ("a", [1])
    assert (row["rejected_finish"], row["tools"]) == ("length", TOOLS)
    assert {name: row[name] for name in DIGESTS} == DIGESTS


def test_a_scored_group_keeps_a_list_of_each(judge_context, sampled):
    context = judge_context([sampled(1, "a", [1])], against=[sampled(1, "abc", [2, 3])])
    (row,) = label(context, feedback="scored")
    assert row["completions_token_ids"] == [[1], [2, 3]]
    assert row["finishes"] == ["stop", "stop"]
    assert {name: row[name] for name in DIGESTS} == DIGESTS


def test_a_scored_group_keeps_every_draw_with_its_log_probabilities(judge_context, sampled):
    def draw(text: str, *logps: float) -> dict[str, Any]:
        return sampled(1, text, [1] * (len(logps) - 1), token_logps=[*logps])

    draws = [draw("abc", -0.5, -1.0), draw("a", -2.0, -0.1), draw("abc", -0.5, -1.0)]
    (row,) = label(judge_context(draws), feedback="scored")
    assert row["completions"] == ["abc", "a", "abc"]
    assert row["scores"] == [3.0, 1.0, 3.0]
    assert row["completions_token_logps"] == [[-0.5, -1.0], [-2.0, -0.1], [-0.5, -1.0]]
    assert sorted(Lengths.asked) == ["a", "abc"]  # equal draws are scored once
    # A label or a pair of the same text twice would teach nothing new.
    assert len(label(judge_context(draws), **BINARY)) == 2


def test_equal_draws_without_ids_are_kept_too_but_not_the_same_text_of_the_data(
    judge_context, make_sample
):
    lines = [make_sample(1, "abc", None), make_sample(1, "abc", None)]
    bare = [{k: v for k, v in line.items() if k != "token_ids"} for line in lines]
    (row,) = label(judge_context(bare), feedback="scored")
    assert row["completions"] == ["abc", "abc"]


def test_ids_of_another_tokenizer_go_with_their_log_probabilities(judge_context, sampled):
    lines = [sampled(1, "a", [1], token_logps=[-1.0, -2.0])]
    others = [sampled(1, "abc", [2], tokenizer="ff", token_logps=[-3.0, -4.0])]
    (row,) = label(judge_context(lines, against=others), feedback="scored")
    assert row["completions_token_ids"] == [[1], None]
    assert row["completions_token_logps"] == [[-1.0, -2.0], None]


def test_a_row_of_two_tokenizers_keeps_the_ids_of_the_first_and_says_so(judge_context, sampled):
    told: list[str] = []
    context = judge_context(
        [sampled(1, "a", [1])],
        against=[sampled(1, "abc", [2], tokenizer="ff", finish="length")],
        warn=told.append,
    )
    (row,) = label(context, feedback="paired")
    assert row["chosen_token_ids"] == [2]
    assert "rejected_token_ids" not in row
    assert (row["tokenizer"], row["chosen_finish"], row["rejected_finish"]) == (
        "ff",
        "length",
        "stop",
    )
    assert told[0].startswith("1 prompts have completions of different tokenizers or templates; a")


def test_rows_of_one_completion_each_keep_ids_of_two_tokenizers(judge_context, sampled):
    told: list[str] = []
    context = judge_context(
        [sampled(1, "a", [1])], against=[sampled(1, "abc", [2], tokenizer="ff")], warn=told.append
    )
    rows = label(context, **BINARY)
    assert [(r["completion_token_ids"], r["tokenizer"]) for r in rows] == [([1], "0a"), ([2], "ff")]
    assert told == []


def test_rows_of_data_keep_what_stands_beside_their_completions(tmp_path):
    prompt = [{"role": "user", "content": "hi"}]
    thoughts = {"reasoning_content": "Hm."}
    rows = [
        {"prompt": prompt, "completion": "abc", "completion_fields": thoughts, "tools": TOOLS},
        {"prompt": prompt, "completion": "abc", "completion_token_ids": [4], "tools": TOOLS},
        {"prompt": prompt, "completion": "a", "completion_fields": {"tool_calls": [{"name": "x"}]}},
    ]
    told: list[str] = []
    data = {"data": data_set(tmp_path, "demonstration", rows)}
    context = stage_context(tmp_path / "label", data=data, warn=told.append)
    first, second = label(context, **BINARY)
    assert (first["completion_fields"], first["tools"]) == (thoughts, TOOLS)
    assert second["completion_token_ids"] == [4]
    assert first["id"] != second["id"]
    counts = json.loads((context.folder / "counts.json").read_text())
    assert counts["dropped"] == {"completion with tool_calls, which the judge does not read": 1}
    assert told[0] == (
        "1 of 1 prompts offer tools, 1 of 2 completions hold reasoning_content, which Lengths does "
        "not read"
    )


class Whole(Lengths):
    """Scores by the number of tool calls."""

    def reads_beside(self):
        return {"tools", "fields"}

    def score(self, answers):
        for answer in answers:
            self.asked.append((answer.completion, answer.fields, answer.tools))
            yield Score(answer.id, float(len((answer.fields or {}).get("tool_calls", ()))))


def test_a_judge_that_reads_calls_labels_completions_of_calls_alone(tmp_path):
    prompt = [{"role": "user", "content": "hi"}]
    calls = {"tool_calls": [{"name": "x"}]}
    rows = [
        {"prompt": prompt, "completion": "", "completion_fields": calls, "tools": TOOLS},
        {"prompt": prompt, "completion": "a", "completion_fields": None, "tools": TOOLS},
    ]
    told: list[str] = []
    data = {"data": data_set(tmp_path, "demonstration", rows)}
    context = stage_context(tmp_path / "label", data=data, warn=told.append)
    first, second = label(context, Whole(), feedback="binary", threshold=1.0)
    assert Lengths.asked == [("", calls, TOOLS), ("a", None, TOOLS)]
    assert (first["completion_fields"], first["desirable"]) == (calls, True)
    assert second["desirable"] is False
    assert told == []
    lines = (context.folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("completion_fields") for line in lines] == [calls, None]


def test_a_judge_that_compares_gets_what_stands_beside_the_texts(tmp_path, scripted):
    prompt = [{"role": "user", "content": "hi"}]
    thoughts = {"reasoning_content": "Hm."}
    rows = [
        {"prompt": prompt, "completion": "abc", "completion_fields": thoughts, "tools": TOOLS},
        {"prompt": prompt, "completion": "abc", "tools": TOOLS},
    ]
    context = stage_context(
        tmp_path / "label", data={"data": data_set(tmp_path, "demonstration", rows)}
    )
    judge = scripted(lambda c: "A" if c.a_fields else "B")
    (row,) = label(context, judge, feedback="paired")
    assert {c.tools == TOOLS for c in judge.asked} == {True}
    assert [(c.a_fields, c.b_fields) for c in judge.asked] == [(thoughts, None), (None, thoughts)]
    assert (row["chosen_fields"], row.get("rejected_fields")) == (thoughts, None)


def test_samples_in_a_file_keep_their_ids_and_the_fields_of_their_prompts(tmp_path, sampled):
    line = sampled(1, "abc", [5, 6], tools=TOOLS)
    line["prompt"] = [{**line["prompt"][0], "name": "Ana", "thinking": None}]
    file = tmp_path / "given.jsonl"
    file.write_text(json.dumps(line))
    (row,) = label(stage_context(tmp_path / "label", inputs={"of": file}), **BINARY)
    assert (row["completion_token_ids"], row["tools"]) == ([5, 6], TOOLS)
    assert row["prompt"] == [{"role": "user", "content": "q1", "name": "Ana"}]
    assert {name: row[name] for name in DIGESTS} == DIGESTS


@pytest.fixture
def cut(judge_context, sampled):
    """Samples. The first one is long and did not end."""
    return judge_context(
        [sampled(1, "abcd", [1], finish="length"), sampled(2, "abc", [2]), sampled(3, "a", [3])]
    )


def test_what_did_not_end_is_labelled_like_any_other_by_default(cut):
    assert [row["desirable"] for row in label(cut, **BINARY)] == [True, True, False]


def test_what_did_not_end_may_be_left_out(cut):
    assert [row["desirable"] for row in label(cut, unfinished="drop", **BINARY)] == [True, False]
    counts = json.loads((cut.folder / "counts.json").read_text())
    assert counts["dropped"] == {"completion that did not end": 1}
    assert Lengths.asked == ["abc", "a"]


def test_what_did_not_end_may_be_undesirable_without_a_judge(cut):
    rows = label(cut, unfinished="undesirable", **BINARY)
    assert [row["desirable"] for row in rows] == [False, True, False]
    assert "score" not in rows[0]
    assert rows[0]["finish"] == "length"
    assert Lengths.asked == ["abc", "a"]
    assert json.loads((cut.folder / "counts.json").read_text())["unfinished"] == 1


def test_the_median_is_that_of_what_was_scored(judge_context, sampled):
    lines = [sampled(i, "a" * i, [i], finish="length" if i > 3 else "stop") for i in range(1, 6)]
    context = judge_context(lines)
    rows = label(context, unfinished="undesirable", feedback="binary", threshold="median")
    assert [row["desirable"] for row in rows] == [False, True, True, False, False]


def test_a_side_that_did_not_end_may_be_left_out(judge_context, sampled):
    context = judge_context(
        [sampled(1, "a", [1], finish="length")], against=[sampled(1, "abc", [2])]
    )
    with pytest.raises(DataError, match="1 completion that did not end, 1 only one completion"):
        label(context, unfinished="drop", feedback="paired")


@pytest.mark.parametrize("feedback", ["paired", "scored"])
def test_undesirable_is_refused_where_there_are_no_labels(feedback):
    stage = Label(judge=Lengths(), of="a", against="b", feedback=feedback, unfinished="undesirable")
    told = f"undesirable makes a label false, and {feedback} feedback has none; take keep or drop"
    assert ("unfinished", told) in stage.mistakes()


def test_an_option_that_came_later_leaves_the_identity_as_it_was():
    assert Label.model_fields["unfinished"].default == "keep"
