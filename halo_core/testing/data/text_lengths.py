"""Checks that a conversion that counts characters does not count bytes."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from halo_core.completion import Completion, scored_columns
from halo_core.data import DataSource
from halo_core.feedback import Feedback
from halo_core.testing.component import expect
from halo_core.testing.data.made_rows import MadeRows

CHARACTERS = re.compile(r"character|letter", re.IGNORECASE)
"""Words of the description of an option that is a number of characters."""

SHORTEST = 8
"""Characters of a text that any largest number lets through."""

MARGIN = 100
"""Characters more than a smallest number, with which a text is let through."""

SIZES = range(SHORTEST + 1, 20_000)
"""Numbers of characters that are tried."""

CYRILLIC = str.maketrans(
    string.ascii_lowercase, "".join(chr(ord("\u0430") + place) for place in range(26))
)
"""A letter of two bytes for each one of ASCII."""


class Lengths(MadeRows):
    """A few rows whose completions all have the same length."""

    length: int = Field(default=20, ge=SHORTEST, description="Characters of each completion.")
    is_ascii: bool = Field(default=True, description="Whether the letters are those of ASCII.")

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yields the rows."""
        for number in range(4):
            prompt = [{"role": "user", "content": f"How is the cow number {number}?"}]
            good, bad = self._text("she is well today "), self._text("nobody knows it now ")
            label = {"completion": good if number % 2 else bad, "desirable": bool(number % 2)}
            columns: Mapping[Feedback, dict[str, Any]] = {
                "text": {"text": good},
                "prompts": {},
                "demonstration": {"completion": good},
                "binary": label,
                "paired": {"chosen": good, "rejected": bad},
                "scored": {
                    **scored_columns([Completion(good), Completion(bad)]),
                    "scores": [2.0, 1.0],
                },
            }
            beside = {} if self.feedback == "text" else {"prompt": prompt}
            yield {"id": f"row-{number}", **beside, **columns[self.feedback]}

    def _text(self, words: str) -> str:
        text = (words * self.length)[: self.length - 1] + "x"
        return text if self.is_ascii else text.translate(CYRILLIC)


def check_lengths(make: Callable[[DataSource], DataSource], *, feedback: Feedback) -> None:
    """Checks that texts of as many characters stay or go together, whatever their letters are.

    Args:
        make: Returns the conversion around another source.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When an option is a number of characters, and texts with as many stay if
            they are ASCII, and do not if each letter has two bytes.
        UserError: When the conversion refuses the rows.
    """
    source = make(Lengths(feedback=feedback))
    for name, field in type(source).model_fields.items():
        size = getattr(source, name)
        told = CHARACTERS.search(f"{name} {field.description}")
        if type(size) is not int or size not in SIZES or not told:
            continue
        takes = {
            is_ascii: any(
                _count(make(Lengths(feedback=feedback, length=length, is_ascii=is_ascii)))
                for length in (SHORTEST, size + MARGIN)
            )
            for is_ascii in (True, False)
        }
        if not all(takes.values()):
            continue  # It is about a language.
        # With one character less, a smallest number leaves texts out.
        for length in (size, size - 1):
            usual, other = (
                _count(make(Lengths(feedback=feedback, length=length, is_ascii=is_ascii)))
                for is_ascii in (True, False)
            )
            expect(
                usual == other,
                source,
                f"of rows with completions of {length} characters ({name!r} is {size}), it gives "
                f"{usual} if they are ASCII, and {other} if each letter has two bytes; count "
                "characters (len of the text), and not bytes",
            )


def _count(source: DataSource) -> int:
    return sum(len(list(source.load(split).rows)) for split in source.inspect().splits)


__all__ = ["check_lengths"]
