"""Data sources that depend on the date, on earlier readings, or on the place of a file."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import os
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location

COUNTED: Counter[str] = Counter()
OPENED: list[Any] = []


class Numbers(DataSource):
    """Rows of which some are dropped, which keeps the rules."""

    breaks: ClassVar[str] = ""

    def inspect(self) -> DataInfo:
        return DataInfo("demonstration", ("train",), "numbers-1")

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        dropped: Counter[str] = Counter()
        return Loaded(self.rows(dropped), dropped)

    def rows(self, dropped: Counter[str]) -> Iterator[Mapping[str, Any]]:
        for number in range(12):
            if number % 3:
                yield self.row(number)
            else:
                dropped[self.reason(number)] += 1

    def row(self, number: int) -> dict[str, Any]:
        asked = [{"role": "user", "content": f"What comes after {number}?"}]
        return {"prompt": asked, "completion": f"{number + 1}."}

    def reason(self, number: int) -> str:
        return "divisible by 3"


class MeasuresTime(Numbers):
    """Uses the clock, but not for its rows."""

    breaks = ""

    def rows(self, dropped: Counter[str]) -> Iterator[Mapping[str, Any]]:
        begun, today = time.time(), datetime.datetime.now()
        assert isinstance(today, datetime.date)
        assert time.time() - begun < 60 < time.strptime("2026", "%Y").tm_year
        yield from super().rows(dropped)


class CountsForAll(Numbers):
    """Has one counter for all readings."""

    breaks = "readings"

    def load(self, split: str) -> Loaded:
        super().load(split)
        return Loaded(self.rows(COUNTED), COUNTED)


class AReasonForEach(Numbers):
    """Has a reason for each row."""

    breaks = "readings"

    def reason(self, number: int) -> str:
        return f"row {number} is divisible by 3"


class Today(Numbers):
    """Writes the date into rows."""

    breaks = "readings"

    def row(self, number: int) -> dict[str, Any]:
        return super().row(number) | {"completion": f"{datetime.date.today()}: {number}"}


class TodayByALateImport(Numbers):
    """Writes the date into rows, and imports the clock where it uses it."""

    breaks = "readings"

    def row(self, number: int) -> dict[str, Any]:
        from datetime import date

        return super().row(number) | {"completion": f"{date.today()}: {number}"}


class DigestOfTheMonth(Numbers):
    """Makes a new digest each month."""

    breaks = "readings"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest=time.strftime("%Y-%m"))


class LeavesItOpen(Numbers):
    """Opens its file again for each reading, and keeps it open."""

    breaks = "readings"

    def rows(self, dropped: Counter[str]) -> Iterator[Mapping[str, Any]]:
        OPENED.append(open(__file__, encoding="utf-8"))
        yield from super().rows(dropped)


class OneCursor(Numbers):
    """Has one position for all readings."""

    breaks = "readings"
    position: ClassVar[list[Any]] = []

    def rows(self, dropped: Counter[str]) -> Iterator[Mapping[str, Any]]:
        self.position[:] = [itertools.count()]
        while (number := next(self.position[0])) < 8:
            yield self.row(number)


def table() -> str:
    """Returns the path of a database, which is made if it is not there."""
    path = Path(tempfile.gettempdir()) / f"halo-broken-table-{os.getpid()}.txt"
    if not path.exists():
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE said (text TEXT)")
            rows = [(f"It is {n}.",) for n in range(8)]
            database.executemany("INSERT INTO said VALUES (?)", rows)
    return str(path)


def lines() -> str:
    """Returns the path of a file of lines, which is made if it is not there."""
    path = Path(tempfile.gettempdir()) / f"halo-broken-lines-{os.getpid()}.txt"
    if not path.exists():
        path.write_text("".join(f"It is {n}.\n" for n in range(8)), encoding="utf-8")
    return str(path)


class Lines(DataSource):
    """The lines of a file, which keeps the rules."""

    breaks: ClassVar[str] = ""
    path: Annotated[str, Location()] = Field(default_factory=lines, description="The file.")

    def inspect(self) -> DataInfo:
        return DataInfo("text", ("train",), self.digest(Path(self.path)))

    def digest(self, path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        return Loaded([{"text": text} for text in self.texts()])

    def texts(self) -> list[str]:
        return [line for line in Path(self.path).read_text("utf-8").splitlines() if line]


class DigestOfThePath(Lines):
    """Makes the digest of the path."""

    breaks = "files"

    def digest(self, path: Path) -> str:
        return hashlib.sha256(str(path).encode()).hexdigest()


class DigestOfTheTimes(Lines):
    """Makes the digest of the time when the file was changed."""

    breaks = "files"

    def digest(self, path: Path) -> str:
        return str(path.stat().st_mtime_ns)


class DigestOfTheSize(Lines):
    """Makes the digest of the name and the size."""

    breaks = "files"

    def digest(self, path: Path) -> str:
        return f"{path.name} {path.stat().st_size}"


class DigestOfTheBeginning(Lines):
    """Makes the digest of the first lines."""

    breaks = "files"

    def digest(self, path: Path) -> str:
        return hashlib.sha256(path.read_bytes()[:40]).hexdigest()


class PathWithoutAMarker(Lines):
    """Has a path that is a text like any other."""

    breaks = "files"
    path: str = Field(default_factory=lines, description="The file.")


class CacheBesideTheFile(Lines):
    """Writes an index next to the file."""

    breaks = "files"

    def texts(self) -> list[str]:
        found = super().texts()
        Path(f"{self.path}.txt").write_text(str(len(found)), encoding="utf-8")
        return found


class MakesAnIndex(Lines):
    """Makes an index in the database of the user, without Python noticing it."""

    breaks = "files"
    path: Annotated[str, Location()] = Field(default_factory=table, description="The file.")

    def texts(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("CREATE INDEX IF NOT EXISTS by_text ON said (text)")
            return [text for (text,) in database.execute("SELECT text FROM said")]
