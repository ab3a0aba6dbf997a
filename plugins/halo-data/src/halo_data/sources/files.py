"""The data source `files`, also named `jsonl`: rows of any known form in local files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.option_markers import Location
from halo_data.files.formats import format_of
from halo_data.files.local import content_digest, of_split, passed_over
from halo_data.files.records import records_of
from halo_data.files.splits import Splits, splits_of
from halo_data.files.tables import STATE, saved_files
from halo_data.rows.dropped import kept
from halo_data.rows.forms import Record
from halo_data.rows.reading import Reading, read_records
from halo_data.sources.column_fields import (
    Columns,
    FormName,
    IgnoreColumns,
    IgnoreFields,
    Labels,
    TrainOn,
    reading_of,
    refuse_read_and_ignored,
)


class Files(DataSource):
    """Feedback of any form in local files. The columns determine the form.

    Reads JSON lines, JSON, csv, tsv, parquet, Arrow, and folders that `save_to_disk` wrote. No
    code of a data set is run, and no pickle is read.
    """

    path: Annotated[str | list[str], Location()] = Field(
        description="A file (.jsonl, .json, .csv, .tsv, also .gz; .parquet, .arrow), a folder of "
        "<split> files or of save_to_disk, a glob such as data/*.csv, or a list of files and globs."
    )
    columns: Columns = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    ignore_columns: IgnoreColumns = Field(default_factory=list)
    train_on: TrainOn = "last"
    ignore_fields: IgnoreFields = Field(default_factory=list)
    form: FormName = None

    @model_validator(mode="after")
    def _read_or_ignored(self) -> Self:
        if not self.path:
            raise ValueError("path is empty; expected a file, a folder, a glob or a list of files")
        refuse_read_and_ignored(self)
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind of the first row, the splits, and the hash of all files."""
        splits = splits_of(self.path)
        feedback, how = self._decided(splits)
        options = json.dumps(self.columns, sort_keys=True) if self.columns else ""
        also = "\n".join([options, *self._reading.options, *_layout(splits)])
        files = _all_files(splits)
        beside = () if isinstance(self.path, list) else self._passed_over(files)
        digest = content_digest(files, also)
        return DataInfo(feedback, tuple(splits), digest, beside, (f"{_named(splits)}: {how}",))

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; unusable ones (empty completions ...) are only counted."""
        splits = splits_of(self.path)
        paths = of_split(splits, split, self._where)
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        feedback, _ = self._decided(splits)
        records = records_of(paths, split, self.columns)
        outcomes = read_records(records, self._reading, feedback, ignored)
        return Loaded(kept(outcomes, dropped), dropped, ignored)

    @property
    def _reading(self) -> Reading:
        return reading_of(self)

    @property
    def _where(self) -> str:
        return self.path if isinstance(self.path, str) else ", ".join(self.path)

    def _passed_over(self, files: Sequence[Path]) -> tuple[str, ...]:
        folder = Path(self._where)
        saved = any((file.parent / STATE).is_file() for file in files)
        return () if saved else passed_over(folder, files)

    def _decided(self, splits: Splits) -> tuple[Feedback, str]:
        paths = _first_split(splits)
        found = self._reading.decided(self._records(paths[:1]))
        if found is None:
            raise _empty(paths[0])
        for path in paths[1:]:
            # A file that does not fit is reported before the files before it are read.
            first = list(self._reading.until_clear(self._records([path])))
            if not first:
                raise _empty(path)
            next(read_records(first, self._reading, found[0], Counter()), None)
        return found

    def _records(self, paths: Sequence[Path]) -> Iterator[Record]:
        return records_of(paths, "first", self.columns)


def _first_split(splits: Splits) -> Sequence[Path]:
    return splits.get("train") or next(iter(splits.values()))


def _named(splits: Splits) -> str:
    first, *others = _first_split(splits)
    return f"{first.name} and {len(others)} more" if others else first.name


def _empty(path: Path) -> DataError:
    return DataError("the file has no rows; expected at least one row", location=str(path))


def _all_files(splits: Splits) -> list[Path]:
    """Returns all files once, in an order that does not depend on the names of splits."""
    paths = sorted(set(chain.from_iterable(splits.values())))
    several = any(len(held) > 1 for held in splits.values())
    if several:
        # The order of the rows is the order of the files, which a list decides.
        paths = list(dict.fromkeys(chain.from_iterable(splits.values())))
    return [file for path in paths for file in (saved_files(path) if path.is_dir() else [path])]


def _layout(splits: Splits) -> Iterator[str]:
    """Yields what the bytes of the files do not tell: their formats, and the files per split.

    Yields nothing for JSON files that are a split each, because digests of these are older.
    """
    formats = [format_of(path).name for held in splits.values() for path in held]
    if set(formats) != {"json"} or any(len(held) > 1 for held in splits.values()):
        counts = [len(held) for held in splits.values()]
        yield f"files {counts} {' '.join(formats)}"
