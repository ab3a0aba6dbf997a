"""The data source `jsonl`: rows of any known form in local JSON files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from halo_core.component import Added, Location
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.workspace.json_files import objects
from halo_data.files.local import content_digest, of_split, split_files, with_train
from halo_data.rows.dropped import kept
from halo_data.rows.forms import STANDARD_COLUMNS, Reading, Record, TrainOn, read_records


def _known(columns: dict[str, str]) -> dict[str, str]:
    standard_names = sorted(STANDARD_COLUMNS)
    for name in columns:
        if name not in standard_names:
            raise ValueError(
                f"{name!r} is no standard column; expected {', '.join(standard_names)}"
            )
    return columns


Columns = Annotated[dict[str, str], AfterValidator(_known)]
"""Standard column name to the name in the data."""
COLUMNS_DESCRIPTION = "Standard column name to the name in the data, e.g. {completion: answer}"
TRAIN_ON = (
    "Which assistant turns of a conversation are learned: last, or all, each as an example of its "
    "own with the turns before it as the prompt; of demonstrations alone"
)
IGNORE_FIELDS = "Fields of messages that are left out, such as [timestamp]"


class Jsonl(DataSource):
    """Feedback of any form in local JSON files; the form is recognised by the columns."""

    path: Annotated[str, Location()] = Field(
        description="A .jsonl or .json file (also .gz), or a folder of <split>.jsonl files"
    )
    columns: Columns = Field(default_factory=dict, description=COLUMNS_DESCRIPTION)
    train_on: Annotated[TrainOn, Added()] = Field(default="last", description=TRAIN_ON)
    ignore_fields: Annotated[list[str], Added()] = Field(
        default_factory=list, description=IGNORE_FIELDS
    )

    def inspect(self) -> DataInfo:
        """Returns the kind of the first row, the splits, and the hash of all files."""
        files = with_train(split_files(Path(self.path)))
        feedback = self._feedback(files)
        options = json.dumps(self.columns, sort_keys=True) if self.columns else ""
        also = "\n".join([options, *self._reading.options])
        return DataInfo(feedback, tuple(files), content_digest(sorted(set(files.values())), also))

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; empty completions and the like are dropped and counted."""
        files = with_train(split_files(Path(self.path)))
        path = of_split(files, split, self.path)
        dropped: Counter[str] = Counter()
        outcomes = read_records(_records(path, split), self._reading, self._feedback(files))
        return Loaded(kept(outcomes, dropped), dropped)

    @property
    def _reading(self) -> Reading:
        return Reading(self.columns, self.ignore_fields, self.train_on)

    def _feedback(self, files: Mapping[str, Path]) -> Feedback:
        path = files.get("train") or next(iter(files.values()))
        for number, given in objects(path):
            place = f"{path}:{number}"
            return self._reading.feedback(given, place)
        raise DataError("the file is empty; expected at least one row", location=str(path))


def _records(path: Path, split: str) -> Iterator[Record]:
    for number, given in objects(path):
        yield Record(f"{split}:{number}", f"{path}:{number}", given)
