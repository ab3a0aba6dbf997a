"""Feedback that cannot be used ends `halo data` with one clear message, before any training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from halo_core.cli.group import halo
from halo_core.errors import UserError

Write = Callable[..., str]
PAIR = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}
TURNED = {"prompt": "Sky?", "chosen": "Red.", "rejected": "Blue."}
TIED = {"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [2, 2]}
NULL = {"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [2, None]}
THUMB = {"prompt": "Sky?", "completion": "Blue.", "label": True}


def message(*arguments: str) -> str:
    """The one message with which `halo data` ends."""
    done = CliRunner().invoke(halo, ["data", *arguments])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    ("component", "rows", "options", "text"),
    [
        (
            "paired-to-binary",
            [PAIR, TURNED],
            [],
            "no rows are left (4 dropped: conflicting labels); expected at least one",
        ),
        (
            "settle-labels",
            [THUMB, {**THUMB, "label": False}],
            [],
            "no rows are left (2 dropped: conflicting labels); expected at least one",
        ),
        (
            "scored-to-paired",
            [TIED],
            [],
            "no rows are left (1 dropped: all scores equal); expected at least one",
        ),
        (
            "scored-to-binary",
            [TIED],
            [],
            "no rows are left (1 dropped: all scores equal); expected at least one",
        ),
        ("scored-to-binary", [NULL], [], "scores[1] is null; expected a finite number"),
        (
            "scored-to-binary",
            [TIED],
            ["threshold=middle"],
            "threshold: got 'middle'; expected a number",
        ),
        (
            "keep-fraction",
            [THUMB],
            ["desirable=0.1"],
            "desirable: 0.1 of 1 desirable rows leaves none; expected at least one",
        ),
        ("keep-fraction", [THUMB], ["desirable=0.0"], "got 0.0; expected a number above 0"),
        ("keep-fraction", [PAIR], [], "the source holds paired feedback; expected binary"),
        ("label-noise", [THUMB], ["share=0.1"], "share: 0.1 of 1 rows reverses none"),
        (
            "paired-to-binary",
            [PAIR],
            ["conflicts=majorty"],
            "or 'undesirable'. Did you mean 'majority'?",
        ),
    ],
)
def test_conversion_of_bad_feedback_is_one_clear_message(
    write_rows: Write, component: str, rows: list[dict[str, Any]], options: list[str], text: str
) -> None:
    source = ["source=jsonl", f"source.path={write_rows(rows)}", *options]
    assert text in message(component, *(part for s in source for part in ("--set", s)))


def test_subset_that_does_not_exist_is_answered_with_the_nearest(real_data: Path) -> None:
    path = f"path={real_data / 'hh'}"
    assert "got 'helpful_base'; expected 'helpful-base', 'helpful-online'" in message(
        "hh", "--set", path, "--set", "subset=helpful_base"
    )
    assert "Did you mean 'harmless-base'?" in message(
        "hh", "--set", path, "--set", "subset=harmles-base"
    )
    assert "there is no subset 'harmless-base' here; there is helpful-base, help" in message(
        "hh", "--set", path, "--set", "subset=harmless-base"
    )


def test_split_of_a_source_in_a_mixture_is_checked_where_it_stands(write_rows: Write) -> None:
    path = write_rows([PAIR], "valid.jsonl")
    one = f"sources=[{{use: jsonl, path: {path}, split: valdi}}]"
    assert "sources.0.split: unknown split 'valdi'. Did you mean 'valid'? Known: valid" in message(
        "mixture", "--set", one
    )
    assert "sources.0.split: got 3; expected a split's name" in message(
        "mixture", "--set", one.replace("valdi", "3")
    )


@pytest.mark.parametrize(
    ("component", "option", "text"),
    [
        ("mixture", "sources=toy", "got 'toy'; expected a list, each item a data source: NAME"),
        ("mixture", "sources=[]", "sources: got []; expected at least 1 item"),
        ("paired-to-binary", "source=[toy]", "got ['toy']; expected a data source: NAME or {use"),
    ],
)
def test_one_source_and_a_list_of_them_are_told_apart(
    component: str, option: str, text: str
) -> None:
    assert text in message(component, "--set", option)


def test_rank_that_is_no_rank_is_one_clear_message(write_rows: Write) -> None:
    start = {"message_tree_id": "a", "lang": "en"}
    asked = {**start, "message_id": "a", "parent_id": None, "text": "Sky?", "role": "prompter"}
    reply = {**start, "message_id": "b", "parent_id": "a", "text": "Blue.", "role": "assistant"}
    path = write_rows([asked, {**reply, "rank": "first"}])
    assert "message b has the rank 'first'; expected 0 (best), 1, 2" in message(
        "oasst", "--set", f"path={path}"
    )
    path = write_rows([asked, {**reply, "rank": None}, {**reply, "message_id": "c", "rank": 0}])
    assert "(1 dropped: unranked, 1 dropped: no ranked sibling)" in message(
        "oasst", "--set", f"path={path}"
    )
