"""A completion with all facts of its row."""

from __future__ import annotations

from typing import Any

from halo_core.completion import (
    Completion,
    completion_in,
    completions_in,
    scored_columns,
    scored_completions,
    shared_columns,
)

CALLS = {"tool_calls": [{"function": {"name": "weather", "arguments": {"at": "x", "unit": "C"}}}]}
SAID = Completion("Moo.", CALLS, [1, 2], "stop")


def test_a_completion_comes_back_out_of_its_columns() -> None:
    for name in ("completion", "chosen", "rejected"):
        assert completion_in(SAID.columns(name), name) == SAID
        assert completion_in({name: "Moo."}, name) == Completion("Moo.")


def test_completions_of_scored_feedback_come_back_out_of_their_columns() -> None:
    both = [SAID, Completion("Quack.", finish="length")]
    columns = scored_columns(both)
    assert columns["completions_token_ids"] == [[1, 2], None]
    assert scored_completions(columns) == both
    assert scored_columns([Completion("a"), Completion("b")]) == {"completions": ["a", "b"]}


def test_all_completions_of_a_row_are_found_whatever_its_kind() -> None:
    other = Completion("Quack.")
    pair = {**SAID.columns("chosen"), **other.columns("rejected")}
    assert list(completions_in(pair)) == [SAID, other]
    assert list(completions_in(scored_columns([other, SAID]))) == [other, SAID]
    assert list(completions_in(SAID.columns("completion"))) == [SAID]
    assert list(completions_in({"text": "Moo."})) == []


def test_completions_of_one_text_and_other_calls_are_different() -> None:
    turned: dict[str, Any] = {
        "tool_calls": [{"function": {"arguments": {"unit": "C", "at": "x"}, "name": "weather"}}]
    }
    assert Completion("Moo.").key == "Moo."
    assert SAID.key != "Moo."
    assert SAID.key == Completion("Moo.", turned).key
    assert SAID.key != Completion("Moo.", {"thinking": "x"}).key


def test_what_is_about_the_whole_row_is_handed_on() -> None:
    row = {"tools": [CALLS], "tokenizer": "0a", "template": None, "finish": "stop"}
    assert shared_columns(row) == {"tools": [CALLS], "tokenizer": "0a"}
