"""Conversions that act on an exact share of the rows: `keep-fraction` and `label-noise`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from pydantic import Field

from halo_core.completion import completion_in
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import BESIDE
from halo_core.workspace.spool import Spool
from halo_data.conversions.content_order import ContentOrder
from halo_data.conversions.wrapping import converted, wrapped_info
from halo_data.rows.dropped import Dropped, Row


def count_of_share(share: float, of: int) -> int:
    """Returns share x of, rounded to the nearest whole number, with halves rounded up.

    The share is used as the decimal number in the spec, so 0.1 is exactly a tenth.

    >>> [count_of_share(0.1, n) for n in (4, 5, 25)]
    [0, 1, 3]
    """
    return int(Fraction(str(share)) * of + Fraction(1, 2))


KEEP_FRACTION = "keep-fraction"
REASONS = {
    True: Dropped("desirable beyond the fraction"),
    False: Dropped("undesirable beyond the fraction"),
}


class KeepFraction(DataSource):
    """Exactly a fraction of the desirable and of the undesirable rows, to the nearest whole row.

    The rows' content and the seed decide which rows are kept. The rows of a smaller fraction are
    among those of a larger one. The order of the rows and the other class have no influence.
    """

    source: DataSource = Field(description="The source of binary feedback.")
    desirable: float = Field(
        default=1.0, gt=0, le=1, description="Share of the desirable rows to keep."
    )
    undesirable: float = Field(
        default=1.0, gt=0, le=1, description="Share of the undesirable rows to keep."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the choice.")

    def inspect(self) -> DataInfo:
        """Returns what the source says."""
        options = f"{self.desirable} {self.undesirable} {self.seed}"
        return wrapped_info(self.source, KEEP_FRACTION, ("binary",), "binary", options)

    def load(self, split: str) -> Loaded:
        """Returns the kept rows in the source's order, and counts the others."""
        return converted(self.source, split, ("binary",), self._kept)

    def _kept(self, rows: Iterable[Row]) -> Iterator[Row | Dropped]:
        orders = {label: ContentOrder(self.seed, KEEP_FRACTION) for label in (True, False)}
        with Spool() as spool:
            for row in rows:
                orders[bool(row["desirable"])].add(row)
                spool.add(row)
            keep = {label: iter(self._chosen(order, label)) for label, order in orders.items()}
            for row in spool:
                label = bool(row["desirable"])
                yield row if next(keep[label]) else REASONS[label]

    def _chosen(self, order: ContentOrder, label: bool) -> bytearray:
        share = self.desirable if label else self.undesirable
        count = count_of_share(share, len(order))
        if share < 1 and not count:
            name = "desirable" if label else "undesirable"
            raise DataError(
                f"{name}: {share} of {len(order)} {name} rows leaves none; expected at least "
                "one: take a larger fraction or more data",
                location=KEEP_FRACTION,
            )
        return order.first(count)


LABEL_NOISE = "label-noise"


class LabelNoise(DataSource):
    """Binary or paired feedback with an exact share of its labels or pairs reversed.

    The share is rounded to the nearest whole row. The rows' content and the seed decide which rows
    are reversed. The rows that a smaller share reverses are also reversed by a larger share.
    """

    source: DataSource = Field(description="The source of binary or paired feedback.")
    share: float = Field(ge=0, le=1, description="Share of the rows to reverse.")
    seed: int = Field(default=0, ge=0, description="Seed of the choice.")

    def unchecked_rules(self) -> Mapping[str, str]:
        """Returns the rule of the sides, which this source is there to break."""
        return {"sides": "it reverses labels and pairs"}

    def inspect(self) -> DataInfo:
        """Returns what the source says."""
        options = f"{self.share} {self.seed}"
        return wrapped_info(self.source, LABEL_NOISE, ("binary", "paired"), None, options)

    def load(self, split: str) -> Loaded:
        """Returns all rows of a split in their order, some of them reversed."""
        return converted(self.source, split, ("binary", "paired"), self._turned)

    def _turned(self, rows: Iterable[Row]) -> Iterator[Row]:
        order = ContentOrder(self.seed, LABEL_NOISE)
        with Spool() as spool:
            for row in rows:
                order.add(row)
                spool.add(row)
            count = count_of_share(self.share, len(spool))
            if self.share and len(spool) and not count:
                raise DataError(
                    f"share: {self.share} of {len(spool)} rows reverses none; expected at least "
                    "one: take a larger share, more data, or 0",
                    location=LABEL_NOISE,
                )
            for row, turned in zip(spool, order.first(count), strict=True):
                yield _turn(row) if turned else row


def _turn(row: Row) -> Row:
    if "desirable" in row:
        return {**row, "desirable": not row["desirable"]}
    chosen, rejected = completion_in(row, "rejected"), completion_in(row, "chosen")
    sides = {name for side in ("chosen", "rejected") for name in (side, *BESIDE[side])}
    others = {name: value for name, value in row.items() if name not in sides}
    return {**others, **chosen.columns("chosen"), **rejected.columns("rejected")}
