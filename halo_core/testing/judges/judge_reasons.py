"""Checks that the numbers in a judge's reasons are those of the texts that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_texts import PROMPT

FEWEST = 3
"""Number of reasons that must show it."""

NUMBERS = re.compile(r"\bA\b\W*(-?\d+(?:\.\d+)?)\b.*?\bB\b\W*(-?\d+(?:\.\d+)?)\b")
"""A number of the text A and one of the text B, as in "words: A 3, B 5"."""

OTHER = "The cow says moo."
TEXTS = (
    "Moo.",
    "Maybe the cow says moo. Perhaps it may also say nothing at all, which might be true!",
    "# Cows\n\n- They say moo 12 times, and 7 of them seem to rest.\n- **Why?** Nobody knows.",
    "I think that a cow, or possibly two cows, could say moo; it is probably so, is it not?",
    '{"says": ["moo", "moo"], "times": 2}',
    "moo moo moo moo moo moo moo moo moo moo",
)
"""Texts that differ in their words, marks, numbers and lengths."""


def check_reasons(judge: Judge, context: JudgeContext) -> None:
    """Asks about different texts A and one text B, and looks at the numbers in the reasons.

    Args:
        judge: A judge that compares, and asks no service.
        context: Its context.

    Raises:
        AssertionError: When the number after ``B`` follows the text A, and that after ``A`` never
            changes.
    """
    asked = [Comparison(f"reason {n}", PROMPT, text, OTHER) for n, text in enumerate(TEXTS)]
    with must_not_raise(judge, "a session"), judge.open(context) as session:
        reasons = [each.reason or "" for each in session.compare(asked)]
    found: Sequence[tuple[str, str]] = [m.groups() for m in map(NUMBERS.search, reasons) if m]  # type: ignore[misc]
    expect(
        len(found) < FEWEST or len({a for a, _ in found}) > 1 or len({b for _, b in found}) < 2,
        judge,
        f"the reasons of {len(found)} comparisons with the same text B have different numbers "
        f"after 'B', and always the same one after 'A', such as {reasons[-1]!r}; are the texts "
        "exchanged?",
    )


__all__ = ["check_reasons"]
