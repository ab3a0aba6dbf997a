"""The data component `split-of`: serves one split of a source under the name `train`."""

from __future__ import annotations

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_data.conversions.wrapping import digest_of_parts
from halo_data.files.local import of_split

NAME = "split-of"
SERVED = "train"
"""Name of the served split, which is also the name of a single file's split."""


class SplitOf(DataSource):
    """One split of a source, served as `train`.

    ``{use: oasst, split: validation}`` within a mixture or a conversion is a short form of it. So
    sources with differently named splits can be mixed.
    """

    source: DataSource = Field(description="The source of any feedback.")
    name: str = Field(min_length=1, description="The split of the source to provide.")

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule that asks for all splits of the source."""
        return {"description": "it is there to give one split of the source"}

    def inspect(self) -> DataInfo:
        """Returns the source's information, with the one split as `train`."""
        info = self.source.inspect()
        if info.splits:
            of_split(dict.fromkeys(info.splits), self.name, NAME)
        digest = None if info.digest is None else digest_of_parts(NAME, self.name, info.digest)
        idle = tuple((SERVED, option) for split, option in info.idle if split == self.name)
        return DataInfo(info.feedback, (SERVED,), digest, info.passed_over, info.read_as, idle)

    def load(self, split: str) -> Loaded:
        """Returns the rows of the named split.

        Raises:
            DataError: When a split other than `train` is requested, because the option names it.
        """
        if split != SERVED:
            raise DataError(
                f"no split {split!r}: the source has the split {self.name!r} as its own, which is "
                f"called {SERVED!r} here; leave one of the two out",
                location=NAME,
            )
        return self.source.load(self.name)
