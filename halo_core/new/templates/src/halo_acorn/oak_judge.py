"""A judge that prefers the text which repeats itself less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from pydantic import Field

from halo_core import Comparison, Judge, JudgeContext, JudgeSession, Verdict


class OakJudge(Judge):
    """Prefers the text that repeats fewer of its words. A text without words loses."""

    margin: float = Field(
        default=0.05, ge=0, le=1, description="Difference of the shares up to which texts tie."
    )

    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        """Returns a session, which needs nothing to be opened or closed."""
        return nullcontext(_Session(self.margin))


class _Session:
    def __init__(self, margin: float) -> None:
        self._margin = margin

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            a, b = repeated(each.a), repeated(each.b)
            said = f"A repeats {a:.0%} of its words, B {b:.0%}"
            yield Verdict(each.id, better(a, b, self._margin), said)


def repeated(text: str) -> float:
    """Returns the share of words that came before in a text; 1 for a text without words."""
    words = text.lower().split()
    return 1 - len(set(words)) / len(words) if words else 1.0


def better(a: float, b: float, margin: float) -> Literal["A", "B", "tie"]:
    """Returns which of two shares is smaller; a tie up to a difference of `margin`."""
    if abs(a - b) <= margin:
        return "tie"
    return "A" if a < b else "B"
