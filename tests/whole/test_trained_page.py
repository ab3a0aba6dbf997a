"""The page "What is trained" is generated from the test data of the kinds of templates."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "registry"))
    return importlib.import_module("trained_page")


def test_the_page_is_what_the_templates_give(page: ModuleType) -> None:
    path = ROOT / "docs" / "explanation" / "what-is-trained.md"
    written = path.read_text(encoding="utf-8")
    assert written == page.trained_page(), "python registry/build.py writes it"


def test_what_is_trained_stands_out_and_ends_with_the_mark(page: ModuleType) -> None:
    section = page.trained_page().split("\n## Gemma 3\n")[1].split("\n## ")[0]
    assert 'bold">Moo│.│&lt;end_of_turn&gt;</b>' in section


def test_each_box_follows_its_row_and_equal_boxes_are_shown_once(page: ModuleType) -> None:
    section = page.trained_page().split("\n## Qwen 3\n")[1].split("\n## ")[0]
    same = (
        "* user `Hi`; assistant `<think>⏎Loud.⏎</think>⏎⏎Moo.`\n"
        "* user `Hi`; assistant `Moo.` with `reasoning_content` `Loud.`\n"
    )
    assert same in section
    assert section.count("│Loud│.│⏎") == 1


def test_rows_with_errors_have_the_whole_reason(page: ModuleType) -> None:
    refused = "user `A` with `name` `ann`; assistant `B`: “the chat template leaves out name”"
    assert f"* {refused}\n" in page.trained_page()


def test_white_space_at_the_ends_of_a_text_is_visible(page: ModuleType) -> None:
    assert "assistant `·D·⏎` (counted: *are changed by the template*)" in page.trained_page()
