"""Decides on completions that carry both labels, so that each is left with one or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from halo_data.outcome import CONFLICTING_LABELS, Dropped, Row
from halo_data.wrapping import completion_key

Conflicts = Literal["drop", "majority", "desirable", "undesirable"]
CONFLICTS_DESCRIPTION = (
    "What becomes of a completion that is desirable in one place and undesirable in another one of "
    "the same prompt: drop leaves it out, majority takes the label it has more often (and leaves "
    "it out when both are as frequent), desirable and undesirable take that label. Each row that "
    "goes is counted as 'conflicting labels'"
)


def settled(rows: Iterable[Row], conflicts: Conflicts) -> Iterator[Row | Dropped]:
    """Yields rows in order, those with the label that lost as dropped.

    Args:
        rows: Rows of binary feedback; held in memory.
        conflicts: Which label stays where a completion has both.
    """
    held = list(rows)
    votes = Counter((completion_key(row), row["desirable"]) for row in held)
    for row in held:
        key, label = completion_key(row), row["desirable"]
        for_it, against = votes[key, label], votes[key, not label]
        stays = not against or _wins(label, for_it, against, conflicts)
        yield row if stays else CONFLICTING_LABELS


def _wins(label: bool, for_it: int, against: int, conflicts: Conflicts) -> bool:
    if conflicts == "majority":
        return for_it > against
    return conflicts != "drop" and label == (conflicts == "desirable")
