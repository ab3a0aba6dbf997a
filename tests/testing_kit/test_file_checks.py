"""The rules about the files that a data source names: times, edits, namesakes, empty files."""

from __future__ import annotations

import hashlib
import locale
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location
from halo_core.testing.circumstances.repeatable import check_repeatable
from halo_core.testing.data.named_files import check_files
from halo_core.testing.data.readings import check_readings

TEXT = "One \u00e9\nTwo\nThree\nFour\n"
READ: dict[Any, bytes] = {}


class Lines(DataSource):
    """A demonstration for each line of a file, which keeps the rules."""

    path: Annotated[Path, Location()] = Field(description="The file.")

    def content(self) -> bytes:
        return self.path.read_bytes()

    def inspect(self) -> DataInfo:
        digest = hashlib.sha256(self.content()).hexdigest()
        return DataInfo("demonstration", ("train",), digest)

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        return Loaded(self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        for line in self.lines():
            yield {"prompt": [{"role": "user", "content": "Say it."}], "completion": line}

    def lines(self) -> list[str]:
        return self.content().decode("utf-8").splitlines()


class OnlySameContent(Lines):
    """Keeps what it read, and looks at the size and the time of the file first."""

    def content(self) -> bytes:
        found = self.path.stat()
        key = (self.path, found.st_size, found.st_mtime_ns)
        READ.setdefault(key, self.path.read_bytes())
        return READ[key]


class KeepsRows(Lines):
    def content(self) -> bytes:
        return READ.setdefault(self.path, self.path.read_bytes())


class KeepsTheDigest(Lines):
    def inspect(self) -> DataInfo:
        content = READ.setdefault(self.path, self.path.read_bytes())
        return DataInfo("demonstration", ("train",), hashlib.sha256(content).hexdigest())


class Touches(Lines):
    def content(self) -> bytes:
        content = self.path.read_bytes()
        os.utime(self.path)
        return content


class PrefersHere(Lines):
    def content(self) -> bytes:
        here = Path(self.path.name)
        return (here if here.is_file() else self.path).read_bytes()


class DividesByZero(Lines):
    def inspect(self) -> DataInfo:
        assert 1 // len(self.content()) >= 0
        return super().inspect()


class RefusesEmpty(Lines):
    def inspect(self) -> DataInfo:
        if not self.content():
            raise DataError("the file is empty", location=str(self.path))
        return super().inspect()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    READ.clear()
    file = tmp_path / "lines.txt"
    file.write_text(TEXT, "utf-8")
    return file


@pytest.mark.parametrize("cls", [Lines, OnlySameContent, RefusesEmpty])
def test_a_right_source_keeps_the_rule_of_files(cls: type[DataSource], path: Path) -> None:
    here = os.getcwd()
    check_files(cls.model_validate({"path": path}))
    assert os.getcwd() == here


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (KeepsRows, "edited between two readings, and the second one gives the rows of before"),
        (KeepsTheDigest, "between two calls of inspect.., and it gives the digest of before"),
        (Touches, "reading it changes .*lines.txt, a file of the user, or its time"),
        (PrefersHere, "reads the file 'lines.txt' of the current folder in place of the one"),
        (DividesByZero, "with an empty file, it raised ZeroDivisionError"),
    ],
)
def test_a_source_that_breaks_the_rule_of_files_is_found(
    cls: type[DataSource], message: str, path: Path
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_files(cls.model_validate({"path": path}))


class InItsOptions(Lines):
    seen: list[str] = Field(default=[], description="The lines that were read.")

    def lines(self) -> list[str]:
        self.seen.extend(super().lines())
        return super().lines()


def test_a_source_that_collects_in_its_options_is_found(path: Path) -> None:
    check_readings(Lines(path=path))
    with pytest.raises(AssertionError, match="each reading changes itself; expected the options"):
        check_readings(InItsOptions(path=path, seen=[]))


class ByLocale(Lines):
    def lines(self) -> list[str]:
        with open(self.path, encoding=locale.getencoding(), errors="replace") as file:
            return file.read().splitlines()


class ByVariable(Lines):
    def lines(self) -> list[str]:
        return super().lines()[: int(os.environ.get("LINES_TO_READ", "100"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (
            ByLocale,
            r"in a process with LC_ALL=C, where open\(\) without encoding= is not UTF-8, the",
        ),
        (ByVariable, "in a process with LINES_TO_READ=1, the content of 'train' has"),
    ],
)
def test_a_source_that_depends_on_its_process_is_found(
    cls: type[DataSource], message: str, path: Path
) -> None:
    check_repeatable(Lines(path=path))
    with pytest.raises(AssertionError, match=message):
        check_repeatable(cls.model_validate({"path": path}))
