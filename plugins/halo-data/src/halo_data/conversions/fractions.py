"""Conversions that act on an exact share of the rows: `keep-fraction` and `label-noise`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from pydantic import Field

from halo_core.completion import completion_in, completions_in, scored_completions
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import BESIDE
from halo_data.conversions.wrapping import converted, kind_of, prompt_key, wrapped_info
from halo_data.rows.dropped import Dropped, Row


def count_of_share(share: float, of: int) -> int:
    """Returns share x of, rounded to the nearest whole number, with halves rounded up.

    The share is used as the decimal number in the spec, so 0.1 is exactly a tenth.

    >>> [count_of_share(0.1, n) for n in (4, 5, 25)]
    [0, 1, 3]
    """
    return int(Fraction(str(share)) * of + Fraction(1, 2))


def in_order(rows: Sequence[Row], seed: int, purpose: str) -> list[int]:
    """Returns the positions of rows in an order that depends only on their content and a seed.

    The first ten are always among the first fifty, and additional rows do not change the order of
    the others. Equal rows have different places, and the first of them always has the same place.

    Args:
        rows: Rows of any kind.
        seed: Another seed gives another order.
        purpose: Purpose of the order. Another purpose gives an independent order.
    """
    seen: Counter[str] = Counter()
    keys = []
    for row in rows:
        content = _content(row)
        seen[content] += 1
        # The hash includes the count. Otherwise equal rows would all be kept or all be left out.
        text = f"{purpose}/{seed}/{seen[content]}/{content}"
        keys.append(hashlib.sha256(text.encode()).digest())
    return sorted(range(len(rows)), key=lambda i: (keys[i], i))


def _content(row: Row) -> str:
    """Returns a text that identifies a row, without its label, because the label may change."""
    kind = kind_of(row)
    if kind == "text":
        texts = [row["text"]]
    elif kind == "scored":
        texts = [str([each.key for each in scored_completions(row)])]
    else:
        texts = sorted(each.key for each in completions_in(row))
    return "\x00".join([prompt_key(row) if "prompt" in row else "", *texts])


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
        held = list(rows)
        keep = self._chosen(held, True) | self._chosen(held, False)
        for position, row in enumerate(held):
            yield row if position in keep else REASONS[row["desirable"]]

    def _chosen(self, rows: list[Row], label: bool) -> set[int]:
        share = self.desirable if label else self.undesirable
        positions = [i for i, row in enumerate(rows) if row["desirable"] == label]
        count = count_of_share(share, len(positions))
        if share < 1 and not count:
            name = "desirable" if label else "undesirable"
            raise DataError(
                f"{name}: {share} of {len(positions)} {name} rows leaves none; expected at least "
                "one: take a larger fraction or more data",
                location=KEEP_FRACTION,
            )
        order = in_order([rows[i] for i in positions], self.seed, KEEP_FRACTION)
        return {positions[i] for i in order[:count]}


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
        held = list(rows)
        count = count_of_share(self.share, len(held))
        if self.share and held and not count:
            raise DataError(
                f"share: {self.share} of {len(held)} rows reverses none; expected at least one: "
                "take a larger share, more data, or 0",
                location=LABEL_NOISE,
            )
        turned = set(in_order(held, self.seed, LABEL_NOISE)[:count])
        for position, row in enumerate(held):
            yield _turn(row) if position in turned else row


def _turn(row: Row) -> Row:
    if "desirable" in row:
        return {**row, "desirable": not row["desirable"]}
    chosen, rejected = completion_in(row, "rejected"), completion_in(row, "chosen")
    sides = {name for side in ("chosen", "rejected") for name in (side, *BESIDE[side])}
    others = {name: value for name, value in row.items() if name not in sides}
    return {**others, **chosen.columns("chosen"), **rejected.columns("rejected")}
