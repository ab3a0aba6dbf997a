"""The data component `keep-fraction`: a share of the desirable and of the undesirable rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_data.outcome import Dropped, Row
from halo_data.shares import count_of_share, in_order
from halo_data.wrapping import converted, wrapped_info

NAME = "keep-fraction"
REASONS = {
    True: Dropped("desirable beyond the fraction"),
    False: Dropped("undesirable beyond the fraction"),
}


class KeepFraction(DataSource):
    """Exactly a fraction of the desirable and of the undesirable rows, to the nearest whole row.

    Which rows is decided by their content and the seed: a smaller fraction is a part of a larger
    one, and neither the order of the rows nor the other class matters.
    """

    source: DataSource = Field(description="The source of binary feedback")
    desirable: float = Field(
        default=1.0, gt=0, le=1, description="Share of the desirable rows to keep"
    )
    undesirable: float = Field(
        default=1.0, gt=0, le=1, description="Share of the undesirable rows to keep"
    )
    seed: int = Field(default=0, ge=0, description="Seed of the choice")

    def inspect(self) -> DataInfo:
        """Returns what the source says."""
        options = f"{self.desirable} {self.undesirable} {self.seed}"
        return wrapped_info(self.source, NAME, ("binary",), "binary", options)

    def load(self, split: str) -> Loaded:
        """Returns the rows that are kept, in the source's order; the others are counted."""
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
                location=NAME,
            )
        order = in_order([rows[i] for i in positions], self.seed, NAME)
        return {positions[i] for i in order[:count]}
