"""The data component `label-noise`: a share of the labels turned round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_data.outcome import Row
from halo_data.shares import count_of_share, in_order
from halo_data.wrapping import converted, wrapped_info

NAME = "label-noise"


class LabelNoise(DataSource):
    """Binary or paired feedback with exactly a share of its labels or pairs turned round.

    The share is rounded to the nearest whole row. Which rows is decided by their content and the
    seed: what a smaller share turns round, a larger one does too.
    """

    source: DataSource = Field(description="The source of binary or paired feedback")
    share: float = Field(ge=0, le=1, description="Share of the rows that are turned round")
    seed: int = Field(default=0, ge=0, description="Seed of the choice")

    def inspect(self) -> DataInfo:
        """Returns what the source says."""
        options = f"{self.share} {self.seed}"
        return wrapped_info(self.source, NAME, ("binary", "paired"), None, options)

    def load(self, split: str) -> Loaded:
        """Returns all rows of a split in their order, some of them turned round."""
        return converted(self.source, split, ("binary", "paired"), self._turned)

    def _turned(self, rows: Iterable[Row]) -> Iterator[Row]:
        held = list(rows)
        count = count_of_share(self.share, len(held))
        if self.share and held and not count:
            raise DataError(
                f"share: {self.share} of {len(held)} rows turns none round; expected at least one: "
                "take a larger share, more data, or 0",
                location=NAME,
            )
        turned = set(in_order(held, self.seed, NAME)[:count])
        for position, row in enumerate(held):
            yield _turn(row) if position in turned else row


def _turn(row: Row) -> Row:
    if "desirable" in row:
        return {**row, "desirable": not row["desirable"]}
    return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
