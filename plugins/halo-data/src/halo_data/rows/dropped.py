"""What becomes of a row that was read: it is kept, or dropped for a reason that is counted."""

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
        reason: Two or three words, the same for all rows left out for one cause.
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
EQUAL_SCORES = Dropped("all scores equal")


def kept(outcomes: Iterable[Row | Dropped], dropped: Counter[str]) -> Iterator[Row]:
    """Yields the rows that are kept, and counts the others by their reason.

    Args:
        outcomes: Rows and what was dropped, in order.
        dropped: Where the reasons are counted.
    """
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            dropped[outcome.reason] += 1
        else:
            yield outcome
