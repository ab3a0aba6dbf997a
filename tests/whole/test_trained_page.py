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
    section = page.trained_page().split("\n## ")[1]
    assert section.startswith("Gemma 3\n")
    assert 'bold">Moo│.│&lt;end_of_turn&gt;</b>' in section
