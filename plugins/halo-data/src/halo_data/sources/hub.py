"""The data source `hub`: rows of any known form in a data set on the Hugging Face hub."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from typing import Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_data.files.hub import commit_of, digest_of, glimpse, hub_records
from halo_data.rows.dropped import kept
from halo_data.rows.forms import Record
from halo_data.rows.reading import LOOK, Reading, read_records
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


class Hub(DataSource):
    """Feedback of any form in a data set on the hub. The columns determine the form.

    No code of a data set is ever run. `datasets` rejects data sets that need code.
    """

    id: str = Field(min_length=1, description="The data set: OWNER/NAME.")
    name: str | None = Field(
        default=None, description="Configuration of the data set, if it has several."
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit. Default: the main branch."
    )
    columns: Columns = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    ignore_columns: IgnoreColumns = Field(default_factory=list)
    train_on: TrainOn = "last"
    ignore_fields: IgnoreFields = Field(default_factory=list)
    form: FormName = None

    @model_validator(mode="after")
    def _read_or_ignored(self) -> Self:
        refuse_read_and_ignored(self)
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits and the commit, if the hub can be reached."""
        commit = commit_of(self.id, self.revision)
        columns = json.dumps(self.columns, sort_keys=True)
        digest = digest_of(self.id, commit, self.name, columns, *self._reading.options)
        seen = glimpse(self.id, self.name, self.revision, self._reading.is_unlabelled, LOOK)
        if seen is None:
            return DataInfo(None, (), digest)
        records = (Record("first", self.id, row) for row in seen.rows)
        found = self._reading.decided(records)
        if found is None:
            return DataInfo(None, seen.splits, digest)
        return DataInfo(found[0], seen.splits, digest, (), (f"{self.id}: {found[1]}",))

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; unusable ones (empty completions ...) are only counted.

        Raises:
            DataError: When it is empty, cannot be reached, or a row cannot be read.
        """
        records = hub_records(self.id, split=split, name=self.name, revision=self.revision)
        first = list(self._reading.until_clear(records))
        feedback = self._reading.feedback(first)
        if feedback is None:
            raise DataError("it is empty; expected at least one row", location=f"{self.id} {split}")
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        outcomes = read_records(chain(first, records), self._reading, feedback, ignored)
        return Loaded(kept(outcomes, dropped), dropped, ignored)

    @property
    def _reading(self) -> Reading:
        return reading_of(self)
