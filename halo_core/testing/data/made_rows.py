"""Sources whose rows a check makes itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback


class MadeRows(DataSource):
    """Rows of any kind of feedback, all in one split."""

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")

    @abstractmethod
    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yields the rows. The options decide which."""

    def inspect(self) -> DataInfo:
        """Returns the kind, one split and a digest of the options."""
        told = f"{type(self).__name__}-{self.model_dump_json()}"
        return DataInfo(self.feedback, ("train",), told)

    def load(self, split: str) -> Loaded:
        """Returns the rows.

        Raises:
            DataError: When there is no such split.
        """
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        return Loaded(self.rows())


__all__ = ["MadeRows"]
