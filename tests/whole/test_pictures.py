"""The pictures of the README and of the guide to the pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
LARGEST = 150_000


def test_pictures_are_small_and_each_is_shown() -> None:
    texts = [ROOT / "README.md", ROOT / "docs" / "how-to" / "read-a-page.md"]
    shown = {
        (text.parent / address).resolve()
        for text in texts
        for address in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text.read_text(encoding="utf-8"))
    }
    files = set(PICTURES.glob("*.png"))
    assert files == shown
    assert {file.name: file.stat().st_size for file in files if file.stat().st_size > LARGEST} == {}


def test_the_readme_shows_the_answers_and_a_comparison() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/pictures/answers.png)" in text
    assert "(docs/pictures/comparison.png)" in text
