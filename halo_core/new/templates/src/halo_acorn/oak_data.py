"""Answers that people rated, in a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location, PathError

COLUMNS = ("question", "answer", "rating")


class OakData(DataSource):
    """Answers with a rating from 1 to 5, in a CSV file, as good and bad answers.

    The file has the columns ``question``, ``answer`` and ``rating``.
    """

    path: Annotated[str | None, Location()] = Field(
        default=None, description="The CSV file. Default: the file in this package."
    )
    good_from: int = Field(default=4, ge=2, le=5, description="Lowest rating of a good answer.")

    def inspect(self) -> DataInfo:
        """Returns the kind of feedback, the only split, and a digest of the file.

        Raises:
            PathError: When there is no such file.
        """
        digest = hashlib.sha256(self._text().encode()).hexdigest()
        return DataInfo("binary", ("train",), f"{digest[:32]}, good from {self.good_from}")

    def load(self, split: str) -> Loaded:
        """Returns the answers with their labels. Those without a text or a rating are dropped.

        Raises:
            DataError: When there is no such split, or the file lacks a column.
        """
        if split != "train":
            raise DataError(f"no split {split!r}; expected train", location=str(self._file()))
        reader = csv.DictReader(io.StringIO(self._text(), newline=""))
        names = reader.fieldnames or ()
        if missing := [name for name in COLUMNS if name not in names]:
            raise DataError(
                f"the columns are {', '.join(names) or 'none'}; add {', '.join(missing)}",
                location=str(self._file()),
            )
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        return Loaded(self._rows(reader, dropped, ignored), dropped, ignored)

    def _rows(
        self, reader: csv.DictReader[str], dropped: Counter[str], ignored: Counter[str]
    ) -> Iterator[Mapping[str, Any]]:
        for number, row in enumerate(reader, start=1):
            # The cells of a row that has more cells than the file has columns are under None.
            others = (name or "no column" for name in row if name not in COLUMNS and row[name])
            ignored.update(others)
            question, answer, rating = ((row[name] or "").strip() for name in COLUMNS)
            if not question or not answer:
                dropped["the question or the answer is empty"] += 1
            elif rating not in ("1", "2", "3", "4", "5"):
                dropped["the rating is not a number from 1 to 5"] += 1
            else:
                yield {
                    "id": f"row {number}",
                    "prompt": [{"role": "user", "content": question}],
                    "completion": answer,
                    "desirable": int(rating) >= self.good_from,
                }

    def _file(self) -> Path:
        return Path(self.path) if self.path else Path(__file__).with_suffix(".csv")

    def _text(self) -> str:
        try:
            return self._file().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PathError(f"cannot be read: {error}", location=str(self._file())) from error
