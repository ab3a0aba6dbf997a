"""A data source: answers in a CSV file, with the rating of each."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location, PathError


class RatedCsv(DataSource):
    """Rated answers in a CSV file: one group of answers for each question."""

    path: Annotated[str, Location()] = Field(
        description="A CSV file with a line of names and one answer in each other line",
        examples=["ratings.csv"],
    )
    question: str = Field(default="question", min_length=1, description="Column of the questions")
    answer: str = Field(default="answer", min_length=1, description="Column of the answers")
    rating: str = Field(
        default="stars", min_length=1, description="Column of the ratings; a higher one is better"
    )

    def inspect(self) -> DataInfo:
        """Returns the kind, the split and the hash of the file.

        Raises:
            PathError: When there is no such file.
            DataError: When it lacks a column or is not UTF-8.
        """
        with self._open() as file:
            names = next(csv.reader(file), [])
        missing = [name for name in (self.question, self.answer, self.rating) if name not in names]
        if missing:
            raise DataError(
                f"there is no column {' and no column '.join(missing)}; the columns are "
                f"{', '.join(names) or 'none'}",
                location=self.path,
            )
        columns = (self.question, self.answer, self.rating)
        digest = hashlib.sha256(repr(columns).encode() + Path(self.path).read_bytes())
        return DataInfo("scored", ("train",), f"rated csv 1 {digest.hexdigest()}")

    def load(self, split: str) -> Loaded:
        """Returns a row for each question, in the order of the file.

        Raises:
            DataError: When there is no such split, or a rating is not a number.
        """
        if split != "train":
            raise DataError(f"no split {split!r}; a CSV file is the split 'train'")
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        return Loaded(self._rows(dropped, ignored), dropped, ignored)

    def _rows(self, dropped: Counter[str], ignored: Counter[str]) -> Iterator[dict[str, Any]]:
        read = (self.question, self.answer, self.rating)
        groups: dict[str, list[tuple[str, float]]] = {}
        with self._open() as file:
            reader = csv.DictReader(file)
            for line in reader:
                ignored.update(name or "no column" for name in line if name not in read)
                asked, answered = line[self.question] or "", line[self.answer] or ""
                if not asked.strip() or not answered.strip():
                    dropped["no question or no answer"] += 1
                elif not (line[self.rating] or "").strip():
                    dropped["no rating"] += 1
                else:
                    rating = self._number(line[self.rating], reader.line_num)
                    groups.setdefault(asked, []).append((answered, rating))
        for asked, rated in groups.items():
            yield {
                "prompt": [{"role": "user", "content": asked}],
                "completions": [answered for answered, _ in rated],
                "scores": [rating for _, rating in rated],
            }

    def _number(self, text: str, line: int) -> float:
        try:
            return float(text)
        except ValueError:
            raise DataError(
                f"the rating is {text!r}; expected a number", location=f"{self.path}:{line}"
            ) from None

    def _open(self) -> io.StringIO:
        try:
            text = Path(self.path).read_bytes().decode("utf-8-sig")
            return io.StringIO(text, newline="")
        except UnicodeDecodeError as error:
            raise DataError(
                f"the byte {error.start} is not UTF-8; save the file as UTF-8", location=self.path
            ) from error
        except OSError as error:
            raise PathError(
                f"cannot be read ({error.strerror}); expected a CSV file", location=self.path
            ) from error
