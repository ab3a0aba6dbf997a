"""The data component `mixture`: combines several sources, by their sizes or by weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.workspace.spool import Spool
from halo_data.conversions.content_order import ContentOrder
from halo_data.conversions.fractions import count_of_share
from halo_data.conversions.wrapping import digest_of_parts
from halo_data.files.local import of_split
from halo_data.rows.dropped import Dropped, Row

NAME = "mixture"
NOT_DRAWN = Dropped("not drawn by its weight")
Weight = Annotated[float, Field(gt=0, le=1000)]


class Mixture(DataSource):
    """The rows of several sources, repeated or reduced by the weight of each source.

    Weight 1 is the natural size. With weight 2 each row occurs twice per epoch. With 1.5 each row
    occurs once, and half of the rows, chosen by content and seed, a second time. With 0.5 half of
    the rows occur.
    """

    sources: list[DataSource] = Field(
        min_length=1,
        description="The sources, with one kind of feedback; each may name its own split, as in "
        "{use: hh, split: test}.",
    )
    weights: list[Weight] | None = Field(
        default=None,
        description="Weight of each source, in the order of sources: how often each of its rows "
        "occurs per epoch. Default: 1 for all.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the choice for fractional weights.")

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.sources):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.sources)} sources; expected one each"
            )
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind of the sources and the splits that all of them have.

        Raises:
            DataError: When no split is in all sources, or their kinds differ.
        """
        infos = [source.inspect() for source in self.sources]
        known = [info.splits for info in infos if info.splits]
        splits = [split for split in (known or [()])[0] if all(split in s for s in known)]
        if known and not splits:
            raise DataError(
                f"no split is in all sources; they have {'; '.join(map(', '.join, known))}. Name "
                "the split of each: {use: ..., split: NAME}",
                location=NAME,
            )
        digests = [info.digest for info in infos if info.digest is not None]
        options = f"{self.weights} {self.seed}"
        digest = digest_of_parts(NAME, options, *digests) if len(digests) == len(infos) else None
        beside = tuple(dict.fromkeys(name for info in infos for name in info.passed_over))
        read_as = tuple(dict.fromkeys(line for info in infos for line in info.read_as))
        idle = tuple(dict.fromkeys(pair for info in infos for pair in info.idle))
        return DataInfo(_one_kind(infos), tuple(splits), digest, beside, read_as, idle)

    def load(self, split: str) -> Loaded:
        """Returns the rows of the sources, one source after another. Trainers shuffle them."""
        # This is not in `_rows`, because that only runs when the first row is read.
        splits = self.inspect().splits
        if splits:
            of_split(dict.fromkeys(splits), split, NAME)
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        return Loaded(self._rows(split, dropped, ignored), dropped, ignored)

    def _rows(self, split: str, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        weights = self.weights or [1.0] * len(self.sources)
        for number, (source, weight) in enumerate(zip(self.sources, weights, strict=True)):
            loaded = source.load(split)
            rows = (_named(row, number) for row in loaded.rows)
            yield from rows if weight == 1 else self._drawn(rows, weight, number, dropped)
            dropped.update(loaded.dropped)
            ignored.update(loaded.ignored)

    def _drawn(
        self, rows: Iterable[Row], weight: float, number: int, dropped: Counter[str]
    ) -> Iterator[Row]:
        order = ContentOrder(self.seed, NAME)
        with Spool() as spool:
            for row in rows:
                order.add(row)
                spool.add(row)
            count = count_of_share(weight, len(spool))
            if len(spool) and not count:
                raise DataError(
                    f"weights[{number}]: {weight} of {len(spool)} rows leaves none; expected at "
                    "least one: take a larger weight or more data",
                    location=NAME,
                )
            times, rest = divmod(count, max(len(spool), 1))
            once_more = order.first(rest)
            if not times:
                dropped[NOT_DRAWN.reason] += len(spool) - rest
            for copy in range(1, times + 1 + (rest > 0)):
                for row, again in zip(spool, once_more, strict=True):
                    if copy <= times or again:
                        yield _copied(row, copy)


def _one_kind(infos: list[DataInfo]) -> Feedback | None:
    kinds = sorted({info.feedback for info in infos if info.feedback is not None})
    if len(kinds) > 1:
        raise DataError(
            f"the sources hold {' and '.join(kinds)} feedback; expected one kind. Convert them "
            "first",
            location=NAME,
        )
    unknown = any(info.feedback is None for info in infos)
    return None if unknown else kinds[0]


def _named(row: Row, number: int) -> Row:
    return {**row, "id": f"{number}/{row['id']}"} if "id" in row else row


def _copied(row: Row, copy: int) -> Row:
    named = {"id": f"{row['id']}#{copy}"} if "id" in row and copy > 1 else {}
    # A conversion around the mixture would drop a repetition as a duplicate without `copy`. Copies
    # from a mixture within this one stay different.
    return {**row, **named, "copy": f"{row.get('copy', '')}/{copy}"}
