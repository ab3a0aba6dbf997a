"""The page on troubleshooting quotes messages that exist in the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
SENTENCE = re.compile(r"^\| `([^`]*\s[^`]*)`(?: \(warning\))? \|", re.MULTILINE)


def quoted() -> list[str]:
    """Returns the messages in the left column."""
    return SENTENCE.findall(PAGE.read_text(encoding="utf-8"))


def parts_of(message: str) -> list[str]:
    """Returns the parts between the dots that have at least two words."""
    return [part.strip() for part in message.split("...") if len(part.split()) > 1]


@cache
def texts_of_the_code() -> str:
    folders = [ROOT / "halo_core", *ROOT.glob("plugins/*/src"), *ROOT.glob("libraries/*/src")]
    trees = (ast.parse(file.read_text()) for folder in folders for file in folder.rglob("*.py"))
    constants = (n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return "\n".join(text for text in constants if isinstance(text, str))


@pytest.mark.parametrize("message", quoted())
def test_the_page_quotes_messages_of_the_code(message: str) -> None:
    parts = parts_of(message)
    assert parts, message
    assert [part for part in parts if part not in texts_of_the_code()] == []


def test_most_messages_of_the_page_are_quoted() -> None:
    assert len(quoted()) >= 15
