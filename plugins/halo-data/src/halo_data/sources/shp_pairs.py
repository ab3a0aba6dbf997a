"""Chooses the pairs of Stanford Human Preferences to serve, post by post."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from halo_core.errors import DataError
from halo_data.rows.dropped import Dropped, Row
from halo_data.rows.forms import Record
from halo_data.rows.messages import prompt_messages
from halo_data.rows.pairs import pair

RATIO_TOO_SMALL = Dropped("score ratio below min_ratio")
BEYOND_MAX_PAIRS = Dropped("beyond max_pairs of the post")
LABEL_AGAINST_SCORES = Dropped("label against the scores")
Records = Callable[[], Iterable[Record]]
"""Function that reads the rows again at each call."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "post_id": str,
    "history": str,
    "c_root_id_A": str,
    "c_root_id_B": str,
    "human_ref_A": str,
    "human_ref_B": str,
    "score_A": (int, float),
    "score_B": (int, float),
    "score_ratio": (int, float),
    "labels": int,
}


@dataclass(frozen=True)
class _Entry:
    """The facts about a row that the choice of pairs needs.

    Attributes:
        post: The post's id.
        score: Score of the preferred comment.
        order: The row's place in the order in which pairs of a post are chosen.
        reason: The reason to drop the row, if any.
    """

    post: str
    score: float
    order: bytes
    reason: Dropped | None


def pairs_of_posts(
    records: Records, min_ratio: float, max_pairs: int | None
) -> Iterator[Row | Dropped]:
    """Yields each pair or the reason to drop it, grouped by post with the best comment first.

    The hash of the ids of the post and the comments decides which pairs of a post are chosen. The
    order of the rows and the other posts have no influence.

    Args:
        records: Function that reads the rows. It is called twice, so that less is kept in memory.
        min_ratio: Smallest ratio of the scores.
        max_pairs: Maximum number of pairs of a post; None for all.

    Raises:
        DataError: When a row does not have the schema of SHP.
    """
    entries = [_entry(record, min_ratio) for record in records()]
    taken = _taken(entries, max_pairs)
    # A post is served when its last pair was read, so that only unfinished posts are in memory.
    last = {entries[position].post: position for position in sorted(taken)}
    waiting: dict[str, list[tuple[float, Row | Dropped]]] = {}
    for position, (entry, record) in enumerate(zip(entries, records(), strict=True)):
        if position not in taken:
            yield entry.reason or BEYOND_MAX_PAIRS
            continue
        waiting.setdefault(entry.post, []).append((-entry.score, _pair(record)))
        if position == last[entry.post]:
            ranked = sorted(waiting.pop(entry.post), key=lambda item: item[0])
            yield from (outcome for _, outcome in ranked)


def _entry(record: Record, min_ratio: float) -> _Entry:
    given = record.given
    check_columns(record)
    high, low = max(given["score_A"], given["score_B"]), min(given["score_A"], given["score_B"])
    a_is_higher = given["score_A"] > given["score_B"]
    reason = None
    if high == low or a_is_higher != (given["labels"] == 1):
        reason = LABEL_AGAINST_SCORES
    elif given["score_ratio"] < min_ratio:
        reason = RATIO_TOO_SMALL
    post = str(given["post_id"])
    comments = sorted(str(given[f"c_root_id_{side}"]) for side in "AB")
    order = hashlib.sha256("/".join([post, *comments]).encode()).digest()
    return _Entry(post, high, order, reason)


def _taken(entries: list[_Entry], max_pairs: int | None) -> set[int]:
    posts: dict[str, list[int]] = {}
    for position, entry in enumerate(entries):
        if entry.reason is None:
            posts.setdefault(entry.post, []).append(position)
    return {
        position
        for positions in posts.values()
        for position in sorted(positions, key=lambda i: entries[i].order)[:max_pairs]
    }


def _pair(record: Record) -> Row | Dropped:
    given = record.given
    chosen, rejected = ("A", "B") if given["labels"] == 1 else ("B", "A")
    prompt = prompt_messages(given["history"], "history", record.place)
    outcome = pair(prompt, given[f"human_ref_{chosen}"], given[f"human_ref_{rejected}"])
    return outcome if isinstance(outcome, Dropped) else {"id": record.id, **outcome}


def check_columns(record: Record) -> None:
    """Raises DataError if a row does not have the columns and types of SHP."""
    for column, types in _TYPES.items():
        value = record.given.get(column)
        if isinstance(value, types) and (column != "labels" or value in (0, 1)):
            continue
        came = (
            f"column {column!r} is {value!r:.60}"
            if column in record.given
            else (f"the columns {', '.join(record.given)}, without {column!r}")
        )
        raise DataError(
            f"got {came}; expected the original schema of SHP, with labels 0 or 1 and numbers as "
            "scores. Other data are read by jsonl or hub",
            location=record.place,
        )
