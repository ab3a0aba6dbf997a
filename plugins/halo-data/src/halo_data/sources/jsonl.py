"""The data source `jsonl`: rows of any known form in local JSON files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from halo_core.component import Added, Location
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.workspace.json_files import objects
from halo_data.files.local import (
    content_digest,
    of_split,
    passed_over,
    split_files,
    with_train,
)
from halo_data.rows.dropped import kept
from halo_data.rows.forms import Record
from halo_data.rows.reading import Reading, TrainOn, read_records
from halo_data.sources.column_fields import (
    COLUMNS_DESCRIPTION,
    IGNORE_DESCRIPTION,
    IGNORE_FIELDS_DESCRIPTION,
    LABELS_DESCRIPTION,
    TRAIN_ON_DESCRIPTION,
    Columns,
    IgnoreColumns,
    IgnoreFields,
    Labels,
    refuse_read_and_ignored,
)


class Jsonl(DataSource):
    """Feedback of any form in local JSON files. The columns determine the form."""

    path: Annotated[str, Location()] = Field(
        description="A .jsonl or .json file (also .gz), or a folder of <split>.jsonl files"
    )
    columns: Columns = Field(default_factory=dict, description=COLUMNS_DESCRIPTION)
    labels: Labels = Field(default_factory=dict, description=LABELS_DESCRIPTION)
    ignore_columns: IgnoreColumns = Field(default_factory=list, description=IGNORE_DESCRIPTION)
    train_on: Annotated[TrainOn, Added()] = Field(default="last", description=TRAIN_ON_DESCRIPTION)
    ignore_fields: IgnoreFields = Field(default_factory=list, description=IGNORE_FIELDS_DESCRIPTION)

    @model_validator(mode="after")
    def _read_or_ignored(self) -> Self:
        refuse_read_and_ignored(self.columns, self.ignore_columns)
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind of the first row, the splits, and the hash of all files."""
        files = self._files()
        feedback = self._feedback(files)
        options = json.dumps(self.columns, sort_keys=True) if self.columns else ""
        also = "\n".join([options, *self._reading.options])
        paths = sorted(set(files.values()))
        digest = content_digest(paths, also)
        return DataInfo(feedback, tuple(files), digest, passed_over(Path(self.path), paths))

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; unusable ones (empty completions ...) are only counted."""
        files = self._files()
        path = of_split(files, split, self.path)
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        records, feedback = _records(path, split), self._feedback(files)
        outcomes = read_records(records, self._reading, feedback, ignored)
        return Loaded(kept(outcomes, dropped), dropped, ignored)

    @property
    def _reading(self) -> Reading:
        return Reading(
            self.columns, self.ignore_fields, self.train_on, self.labels, self.ignore_columns
        )

    def _files(self) -> Mapping[str, Path]:
        return with_train(split_files(Path(self.path)))

    def _feedback(self, files: Mapping[str, Path]) -> Feedback:
        path = files.get("train") or next(iter(files.values()))
        feedback = self._reading.feedback(_records(path, "first"))
        if feedback is None:
            raise DataError("the file is empty; expected at least one row", location=str(path))
        return feedback


def _records(path: Path, split: str) -> Iterator[Record]:
    for number, given in objects(path):
        yield Record(f"{split}:{number}", f"{path}:{number}", given)
