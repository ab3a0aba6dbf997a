"""The outcome of reading a row: it is kept, or dropped for a reason that is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A row with the columns of its kind of feedback, and an `id`."""


@dataclass(frozen=True)
class Dropped:
    """A row that is left out.

    Attributes:
        reason: Two or three words, equal for all rows that are dropped for the same reason.
    """

    reason: str


EMPTY_COMPLETION = Dropped("empty completion")
EMPTY_PROMPT = Dropped("empty prompt")
EMPTY_SIDE = Dropped("empty side")
EMPTY_TEXT = Dropped("empty text")
IDENTICAL_SIDES = Dropped("identical sides")
PROMPTS_DIFFER = Dropped("prompts differ")
NO_ANSWER = Dropped("no assistant turn at the end")
NO_LABEL = Dropped("no label")
WITHOUT_WEIGHT = Dropped("answer has weight 0")
CONFLICTING_LABELS = Dropped("conflicting labels")
DUPLICATE = Dropped("duplicate")
UNDESIRABLE = Dropped("undesirable")
DRAW = Dropped("a draw")
EQUAL_SCORES = Dropped("all scores equal")


def kept(outcomes: Iterable[Row | Dropped], dropped: Counter[str]) -> Iterator[Row]:
    """Yields the kept rows, and counts the dropped rows by their reason.

    Args:
        outcomes: Kept and dropped rows, in order.
        dropped: The counter of the reasons.
    """
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            dropped[outcome.reason] += 1
        else:
            yield outcome
