"""The data source `hub`: rows of any known form in a data set of the Hugging Face hub."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_data.forms import read_records, recognise, standard
from halo_data.hub_access import digest_of, first_row, hub_records, split_names
from halo_data.jsonl import COLUMNS_DESCRIPTION
from halo_data.outcome import kept


class Hub(DataSource):
    """Feedback of any form in a data set of the hub; the form is recognised by the columns.

    No code of a data set is ever run: those that need it are refused by `datasets`.
    """

    id: str = Field(min_length=1, description="The data set: OWNER/NAME")
    name: str | None = Field(default=None, description="Its configuration, if it has several")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit; the main branch when left out"
    )
    columns: dict[str, str] = Field(default_factory=dict, description=COLUMNS_DESCRIPTION)

    def inspect(self) -> DataInfo:
        """Returns kind, splits and commit as far as the hub can be reached."""
        columns = json.dumps(self.columns, sort_keys=True)
        digest = digest_of(self.id, self.revision, self.name, columns)
        splits = split_names(self.id, self.name, self.revision)
        return DataInfo(self._feedback() if splits else None, splits, digest)

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; empty completions and the like are dropped and counted."""
        records = hub_records(self.id, split=split, name=self.name, revision=self.revision)
        first = next(records, None)
        if first is None:
            raise DataError("it is empty; expected at least one row", location=f"{self.id} {split}")
        feedback = recognise(standard(first.given, self.columns, first.place), first.place).feedback
        dropped: Counter[str] = Counter()
        outcomes = read_records(chain([first], records), self.columns, feedback)
        return Loaded(kept(outcomes, dropped), dropped)

    def _feedback(self) -> Feedback | None:
        row = first_row(self.id, self.name, self.revision)
        if row is None:
            return None
        return recognise(standard(row, self.columns, self.id), self.id).feedback
