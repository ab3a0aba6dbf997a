"""Conversions of pairs and labelled completions to binary feedback or demonstrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from halo_core.completion import completion_in
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.workspace.spool import Spool
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.settled import CONFLICTS_DESCRIPTION, Conflicts, settled
from halo_data.conversions.wrapping import completion_key, converted, start_of, unique, wrapped_info
from halo_data.rows.dropped import UNDESIRABLE, Dropped, Row

Take = Literal["never-rejected", "first", "all"]
REJECTED_ELSEWHERE = Dropped("rejected in another pair")
NOT_THE_FIRST = Dropped("not the first of its prompt")


class PairedToBinary(DataSource):
    """Each pair as two rows: the chosen completion is desirable, the rejected one undesirable.

    No completion of a prompt has both labels. The option `conflicts` says which label stays.
    """

    source: DataSource = Field(description="The source of pairs.")
    conflicts: Conflicts = Field(default="drop", description=CONFLICTS_DESCRIPTION)

    def inspect(self) -> DataInfo:
        """Returns the source's information, as binary feedback."""
        return wrapped_info(self.source, "paired-to-binary", ("paired",), "binary", self.conflicts)

    def about_rows(self, split: str) -> int | None:
        """Returns twice the source's number; the number of dropped rows is not known before."""
        pairs = self.source.about_rows(split)
        return None if pairs is None else 2 * pairs

    def load(self, split: str) -> Loaded:
        """Returns two rows per pair, in the pairs' order, and drops and counts duplicates."""
        return converted(
            self.source,
            split,
            ("paired",),
            lambda pairs: unique(settled(_two_rows(pairs), self.conflicts)),
        )


class PairedToDemonstration(DataSource):
    """The chosen completions of pairs as demonstrations; by default only those never rejected.

    If pairs come from a ranking, these are the best completions. Middle ones are chosen over a
    worse completion and rejected for a better one.
    """

    source: DataSource = Field(description="The source of pairs.")
    take: Take = Field(
        default="never-rejected",
        description="never-rejected: the chosen completions that no pair of the same prompt "
        "rejects; first: the first one of each prompt, which is the best if the source has the "
        "best first (shp, oasst); all: every chosen completion.",
    )

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations."""
        return wrapped_info(
            self.source, "paired-to-demonstration", ("paired",), "demonstration", self.take
        )

    def about_rows(self, split: str) -> int | None:
        """Returns what the source says: what is dropped is not known before."""
        return self.source.about_rows(split)

    def load(self, split: str) -> Loaded:
        """Returns the chosen side of each pair, and drops and counts duplicates."""
        return converted(
            self.source, split, ("paired",), lambda pairs: unique(_taken(pairs, self.take))
        )


class BinaryToDemonstration(DataSource):
    """The desirable completions of binary feedback as demonstrations."""

    source: DataSource = Field(description="The source of binary feedback.")

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations."""
        return wrapped_info(
            self.source, "binary-to-demonstration", ("binary",), "demonstration", ""
        )

    def load(self, split: str) -> Loaded:
        """Returns the desirable completions, and counts duplicates and other completions."""
        return converted(
            self.source, split, ("binary",), lambda rows: unique(map(_demonstrated, rows))
        )


class SettleLabels(DataSource):
    """Binary feedback in which no completion of a prompt has both labels."""

    source: DataSource = Field(description="The source of binary feedback.")
    conflicts: Conflicts = Field(default="drop", description=CONFLICTS_DESCRIPTION)

    def inspect(self) -> DataInfo:
        """Returns what the source says."""
        return wrapped_info(self.source, "settle-labels", ("binary",), "binary", self.conflicts)

    def load(self, split: str) -> Loaded:
        """Returns the rows with the label that stays, including repetitions."""
        return converted(
            self.source, split, ("binary",), lambda rows: settled(rows, self.conflicts)
        )


def _two_rows(pairs: Iterable[Row]) -> Iterator[Row]:
    for pair in pairs:
        for side in ("chosen", "rejected"):
            yield {**_side(pair, side), "desirable": side == "chosen"}


def _side(pair: Row, side: str) -> dict[str, Any]:
    return {**start_of(pair, side), **completion_in(pair, side).columns("completion")}


def _taken(pairs: Iterable[Row], take: Take) -> Iterator[Row | Dropped]:
    if take == "never-rejected":
        yield from _never_rejected(pairs)
        return
    prompts, best = Distinct(), Distinct()
    for pair in pairs:
        if take == "first":
            prompt, _ = key = completion_key(pair, "chosen")
            if prompts.add(prompt):
                best.add(key)
            elif key not in best:
                yield NOT_THE_FIRST
                continue
        yield _side(pair, "chosen")


def _never_rejected(pairs: Iterable[Row]) -> Iterator[Row | Dropped]:
    rejected = Distinct()
    with Spool() as spool:
        for pair in pairs:
            rejected.add(completion_key(pair, "rejected"))
            spool.add(pair)
        for pair in spool:
            beaten = completion_key(pair, "chosen") in rejected
            yield REJECTED_ELSEWHERE if beaten else _side(pair, "chosen")


def _demonstrated(row: Row) -> Row | Dropped:
    if not row["desirable"]:
        return UNDESIRABLE
    return {name: value for name, value in row.items() if name != "desirable"}
