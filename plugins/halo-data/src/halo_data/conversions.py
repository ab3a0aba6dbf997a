"""The conversions: data sources that wrap another one and change its kind of feedback."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback, prompt_id
from halo_data.outcome import CONFLICTING_LABELS, DUPLICATE, UNDESIRABLE, Dropped, Row, kept

Conflicts = Literal["drop", "keep"]


class PairedToBinary(DataSource):
    """Two completions of a pair as two rows: the chosen desirable, the rejected undesirable."""

    source: DataSource = Field(description="The source of pairs")
    conflicts: Conflicts = Field(
        default="drop",
        description="What becomes of a completion that is chosen in one pair and rejected in "
        "another one of the same prompt: drop leaves both rows out, keep gives it both labels",
    )

    def inspect(self) -> DataInfo:
        """Returns what the source says, as binary feedback."""
        return _converted(self.source, "paired", "binary", f"paired-to-binary {self.conflicts}")

    def load(self, split: str) -> Loaded:
        """Returns two rows per pair, in the pairs' order; duplicates are dropped and counted."""
        return _load(self.source, split, "paired", lambda pairs: _labelled(pairs, self.conflicts))


class PairedToDemonstration(DataSource):
    """The chosen completions of pairs, as demonstrations."""

    source: DataSource = Field(description="The source of pairs")

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations."""
        return _converted(self.source, "paired", "demonstration", "paired-to-demonstration")

    def load(self, split: str) -> Loaded:
        """Returns the chosen side of each pair; duplicates are dropped and counted."""
        return _load(self.source, split, "paired", _chosen)


class BinaryToDemonstration(DataSource):
    """The desirable completions of binary feedback, as demonstrations."""

    source: DataSource = Field(description="The source of binary feedback")

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations."""
        return _converted(self.source, "binary", "demonstration", "binary-to-demonstration")

    def load(self, split: str) -> Loaded:
        """Returns the desirable completions; the others and duplicates are counted."""
        return _load(self.source, split, "binary", _desirable)


def _converted(source: DataSource, wanted: Feedback, given: Feedback, how: str) -> DataInfo:
    info = source.inspect()
    if info.feedback not in (None, wanted):
        raise DataError(
            f"the source holds {info.feedback} feedback; expected {wanted}. "
            "Choose another conversion or none",
            location=how.partition(" ")[0],
        )
    digest = None
    if info.digest is not None:
        digest = hashlib.sha256(json.dumps([how, info.digest]).encode()).hexdigest()[:32]
    return DataInfo(given, info.splits, digest)


def _load(
    source: DataSource,
    split: str,
    wanted: Feedback,
    convert: Callable[[Iterable[Row]], Iterator[Row | Dropped]],
) -> Loaded:
    loaded = source.load(split)
    dropped: Counter[str] = Counter()

    def rows() -> Iterator[Row]:
        yield from kept(_unique(convert(_checked(loaded.rows, wanted))), dropped)
        dropped.update(loaded.dropped)

    return Loaded(rows(), dropped)


def _checked(rows: Iterable[Row], wanted: Feedback) -> Iterator[Row]:
    column = {"paired": "chosen", "binary": "desirable"}[wanted]
    for row in rows:
        if column not in row:
            raise DataError(
                f"a row has the columns {', '.join(row)}; expected {wanted} feedback",
                location=str(row.get("id", "the source")),
            )
        yield row


def _labelled(pairs: Iterable[Row], conflicts: Conflicts) -> Iterator[Row | Dropped]:
    rows = [row for pair in pairs for row in _two_rows(pair)]
    labels: dict[tuple[str, str], set[bool]] = {}
    for row in rows:
        labels.setdefault(_key(row), set()).add(row["desirable"])
    for row in rows:
        conflicting = conflicts == "drop" and len(labels[_key(row)]) > 1
        yield CONFLICTING_LABELS if conflicting else row


def _two_rows(pair: Row) -> Iterator[dict[str, Any]]:
    for side in ("chosen", "rejected"):
        yield {
            **_identified(pair, side),
            "completion": pair[side],
            "desirable": side == "chosen",
        }


def _chosen(pairs: Iterable[Row]) -> Iterator[Row]:
    for pair in pairs:
        yield {**_identified(pair, "chosen"), "completion": pair["chosen"]}


def _identified(pair: Row, side: str) -> dict[str, Any]:
    named = {"id": f"{pair['id']}/{side}"} if "id" in pair else {}
    return {**named, "prompt": pair["prompt"]}


def _desirable(rows: Iterable[Row]) -> Iterator[Row | Dropped]:
    for row in rows:
        if row["desirable"]:
            yield {name: value for name, value in row.items() if name != "desirable"}
        else:
            yield UNDESIRABLE


def _unique(outcomes: Iterable[Row | Dropped]) -> Iterator[Row | Dropped]:
    seen = set()
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            yield outcome
            continue
        key = (*_key(outcome), outcome.get("desirable"))
        yield DUPLICATE if key in seen else outcome
        seen.add(key)


def _key(row: Row) -> tuple[str, str]:
    return prompt_id(row["prompt"]), row["completion"]
