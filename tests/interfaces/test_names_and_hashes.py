"""Suggestions for misspelt names, and hashes in names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from halo_core.errors import did_you_mean, nearest
from halo_core.hashing import file_hash, short_hash

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("halo_core", "plugins", "libraries")
    for path in (ROOT / folder).rglob("*.py")
    # The templates are those of other people's plugins.
    if not {"tests", "templates"} & {*path.relative_to(ROOT).parts}
]


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("kt0", ["dpo", "kto", "sft"]) == " Did you mean 'kto'?"


def test_nothing_is_suggested_where_no_name_is_like_it() -> None:
    assert did_you_mean("optimizer", ["dpo", "kto", "sft"]) == ""


def test_a_lower_cutoff_allows_a_name_that_is_less_alike() -> None:
    assert did_you_mean("abxy", ["abcd"]) == ""
    assert did_you_mean("abxy", ["abcd"], cutoff=0.5) == " Did you mean 'abcd'?"


def test_the_most_alike_names_come_first() -> None:
    assert nearest("train", ["tram", "trains", "test"], most=2) == ["trains", "tram"]


@pytest.mark.parametrize("content", ["naïve", b"\xff\x00"])
@pytest.mark.parametrize("digits", [1, 16, 64])
def test_a_short_hash_is_the_beginning_of_the_sha256(content: str | bytes, digits: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    assert short_hash(content, digits) == hashlib.sha256(data).hexdigest()[:digits]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\n" * 300_000)
    assert file_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_other_module_looks_for_similar_names() -> None:
    using = {path.name for path in SOURCES if "difflib" in path.read_text(encoding="utf-8")}
    assert using == {
        "errors.py",
        "word_marks.py",  # the words that differ between two answers
    }


def test_no_other_module_shortens_hashes() -> None:
    using = {path.name for path in SOURCES if "hexdigest()" in path.read_text(encoding="utf-8")}
    assert using == {
        "hashing.py",
        "write_rows.py",  # of rows as they come
        "local.py",  # as from many files
        "segment.py",  # of many parts of a file
    }
