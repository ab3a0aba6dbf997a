"""The data source `hub`: rows of any known form in a data set of the Hugging Face hub."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_data.files.hub import commit_of, digest_of, glimpse, hub_records
from halo_data.rows.dropped import kept
from halo_data.rows.forms import Given, read_records, recognise, standard
from halo_data.sources.jsonl import COLUMNS_DESCRIPTION, Columns


class Hub(DataSource):
    """Feedback of any form in a data set of the hub; the form is recognised by the columns.

    No code of a data set is ever run: those that need it are refused by `datasets`.
    """

    id: str = Field(min_length=1, description="The data set: OWNER/NAME")
    name: str | None = Field(default=None, description="Its configuration, if it has several")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit; the main branch when left out"
    )
    columns: Columns = Field(default_factory=dict, description=COLUMNS_DESCRIPTION)

    def inspect(self) -> DataInfo:
        """Returns kind, splits and commit as far as the hub can be reached."""
        commit = commit_of(self.id, self.revision)
        digest = digest_of(self.id, commit, self.name, json.dumps(self.columns, sort_keys=True))
        seen = glimpse(self.id, self.name, self.revision)
        if seen is None:
            return DataInfo(None, (), digest)
        return DataInfo(self._feedback(seen.row, self.id), seen.splits, digest)

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; empty completions and the like are dropped and counted."""
        records = hub_records(self.id, split=split, name=self.name, revision=self.revision)
        first = next(records, None)
        if first is None:
            raise DataError("it is empty; expected at least one row", location=f"{self.id} {split}")
        feedback = self._feedback(first.given, first.place)
        dropped: Counter[str] = Counter()
        outcomes = read_records(chain([first], records), self.columns, feedback)
        return Loaded(kept(outcomes, dropped), dropped)

    def _feedback(self, row: Given, place: str) -> Feedback:
        return recognise(standard(row, self.columns, place), place).feedback
