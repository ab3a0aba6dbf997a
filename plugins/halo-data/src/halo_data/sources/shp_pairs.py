"""Chooses the pairs of Stanford Human Preferences to serve, post by post."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from halo_core.errors import DataError
from halo_data.conversions.distinct import Distinct
from halo_data.rows.dropped import Dropped, Row
from halo_data.rows.forms import Record
from halo_data.rows.messages import prompt_messages
from halo_data.rows.pairs import pair

RATIO_TOO_SMALL = Dropped("score ratio below min_ratio")
BEYOND_MAX_PAIRS = Dropped("beyond max_pairs of the post")
LABEL_AGAINST_SCORES = Dropped("label against the scores")
_REASONS = (None, RATIO_TOO_SMALL, LABEL_AGAINST_SCORES)
_POST = 4
"""Bytes of the number of a post."""
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


class _Choice:
    """The facts about each row that the choice of pairs needs, in about 50 bytes per row.

    Attributes:
        posts: The number of each row's post.
        reasons: Why each row is dropped, as a position in `_REASONS`.
    """

    def __init__(self) -> None:
        self.posts, self.reasons = array("I"), array("B")
        self._names = Distinct()
        self._rows, self._keys = array("I"), bytearray()

    def add(self, record: Record, min_ratio: float) -> None:
        """Adds a row.

        Raises:
            DataError: When it does not have the schema of SHP.
        """
        check_columns(record)
        post = str(record.given["post_id"])
        number = self._names.number(post)
        reason = _reason(record, min_ratio)
        if reason is None:
            comments = sorted(str(record.given[f"c_root_id_{side}"]) for side in "AB")
            order = hashlib.sha256("/".join([post, *comments]).encode()).digest()
            self._rows.append(len(self.posts))
            self._keys += number.to_bytes(_POST, "big") + order
        self.posts.append(number)
        self.reasons.append(_REASONS.index(reason))

    def taken(self, max_pairs: int | None) -> tuple[bytearray, Sequence[int]]:
        """Returns 1 for each row that is served and else 0, and each post's last such row.

        Args:
            max_pairs: Maximum number of pairs of a post; None for all.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        taken = bytearray(len(self.posts))
        keys = [None, pa.py_buffer(self._keys)]
        values = pa.Array.from_buffers(pa.binary(_POST + 32), len(self._rows), keys)
        # Sorted by post first. Rows with the same comments stay in the order of the file.
        count, before = 0, -1
        last = array("q", [-1]) * len(self._names)
        for index in pc.array_sort_indices(values):
            row = self._rows[index.as_py()]
            post = self.posts[row]
            count, before = (count + 1 if post == before else 1), post
            if max_pairs is None or count <= max_pairs:
                taken[row] = 1
                last[post] = max(last[post], row)
        return taken, last


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
    choice = _Choice()
    for record in records():
        choice.add(record, min_ratio)
    taken, last = choice.taken(max_pairs)
    # A post is served when its last pair was read, so that only unfinished posts are in memory.
    waiting: dict[int, list[tuple[float, Row | Dropped]]] = {}
    rows = zip(choice.posts, choice.reasons, records(), strict=True)
    for position, (post, reason, record) in enumerate(rows):
        if not taken[position]:
            yield _REASONS[reason] or BEYOND_MAX_PAIRS
            continue
        score = max(record.given["score_A"], record.given["score_B"])
        waiting.setdefault(post, []).append((-score, _pair(record)))
        if position == last[post]:
            ranked = sorted(waiting.pop(post), key=lambda item: item[0])
            yield from (outcome for _, outcome in ranked)


def _reason(record: Record, min_ratio: float) -> Dropped | None:
    given = record.given
    high, low = max(given["score_A"], given["score_B"]), min(given["score_A"], given["score_B"])
    a_is_higher = given["score_A"] > given["score_B"]
    if high == low or a_is_higher != (given["labels"] == 1):
        return LABEL_AGAINST_SCORES
    return RATIO_TOO_SMALL if given["score_ratio"] < min_ratio else None


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
