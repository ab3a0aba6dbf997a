"""Lets one label of a completion stay if it has both."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Literal

from halo_core.workspace.spool import Spool
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.wrapping import completion_key
from halo_data.rows.dropped import CONFLICTING_LABELS, Dropped, Row

Conflicts = Literal["drop", "majority", "desirable", "undesirable"]
CONFLICTS_DESCRIPTION = (
    "How to treat a completion that is both desirable and undesirable for the same prompt: drop "
    "leaves it out, majority uses the more frequent label (and leaves it out if both are equally "
    "frequent), desirable and undesirable use that label. Every row that is left out is counted as "
    "'conflicting labels'."
)


def settled(outcomes: Iterable[Row | Dropped], conflicts: Conflicts) -> Iterator[Row | Dropped]:
    """Yields rows in order, and drops the rows whose label does not stay.

    All rows are read before the first one comes. They wait on disk: in memory, a row takes 4 bytes
    and each different completion about 40.

    Args:
        outcomes: Rows of binary feedback. Rows that are dropped already stay so.
        conflicts: The label that stays if a completion has both.
    """
    completions, of_row = Distinct(), array("I")
    votes = {True: array("I"), False: array("I")}
    with Spool() as spool:
        for outcome in outcomes:
            if isinstance(outcome, Dropped):
                yield outcome
                continue
            number = completions.number(completion_key(outcome))
            if number == len(votes[True]):
                for counts in votes.values():
                    counts.append(0)
            votes[bool(outcome["desirable"])][number] += 1
            of_row.append(number)
            spool.add(outcome)
        for number, row in zip(of_row, spool, strict=True):
            label = bool(row["desirable"])  # The runner refuses other values later.
            for_it, against = votes[label][number], votes[not label][number]
            stays = not against or _wins(label, for_it, against, conflicts)
            yield row if stays else CONFLICTING_LABELS


def _wins(label: bool, for_it: int, against: int, conflicts: Conflicts) -> bool:
    if conflicts == "majority":
        return for_it > against
    return conflicts != "drop" and label == (conflicts == "desirable")
