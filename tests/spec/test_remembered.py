"""The values of the last texts are remembered, up to a number of characters in all."""

from __future__ import annotations

import pytest

from halo_core.spec import document
from halo_core.spec.remembered import Remembered


def test_the_last_texts_are_remembered_within_the_limit() -> None:
    made: list[str] = []
    remembered = Remembered(lambda text: made.append(text) or text.upper(), 6)
    for text in ("ab", "cd", "ab", "ef", "gh", "ab", "cd"):  # "cd" is the oldest when "gh" comes.
        assert remembered(text) == text.upper()
        assert remembered.characters <= 6
    assert made == ["ab", "cd", "ef", "gh", "cd"]
    assert [remembered("longer than all"), remembered("longer than all")] == 2 * ["LONGER THAN ALL"]
    assert made[-2:] == 2 * ["longer than all"]
    assert remembered("ab") == "AB"
    assert len(made) == 7


def test_an_error_is_not_remembered() -> None:
    remembered = Remembered(int, 100)
    for _ in range(2):
        with pytest.raises(ValueError, match="'x'"):
            remembered("x")
    assert remembered.characters == 0


def test_many_large_specs_and_values_are_not_all_kept() -> None:
    for number in range(8):
        text = f"name: a{number}\n" + "# " + "x" * 40_000
        assert document.parse_value(f"a{number}" + "y" * 40_000).startswith(f"a{number}y")
        assert document._composed(text) is document._composed(text)
    for cache in (document._parsed, document._cached_nodes):
        assert 40_000 < cache.characters <= document.CACHED
