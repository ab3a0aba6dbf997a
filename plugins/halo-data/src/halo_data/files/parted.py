"""A data set that comes in parts, read from local files or from the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.data import DataInfo
from halo_core.workspace.json_files import objects
from halo_data.files.hub import commit_of, digest_of, hub_records
from halo_data.files.local import (
    check_first_rows,
    content_digest,
    of_split,
    part_files,
    passed_over,
)
from halo_data.rows.forms import Record


@dataclass(frozen=True)
class Parted:
    """The place of such a data set, and the requested part of it.

    Attributes:
        path: A folder of parts, the folder of one part, or one file; None for the hub.
        hub: The id on the hub.
        revision: A branch, tag or commit on the hub.
        part: The requested part; None for all.
        parts: All parts of the data set.
        splits: All splits of the data set.
        word: The data set's word for a part, for messages.
    """

    path: str | None
    hub: str
    revision: str | None
    part: str | None
    parts: Sequence[str]
    splits: Sequence[str]
    word: str

    def info(self, check: Callable[[Record], object], *rules: str) -> DataInfo:
        """Returns the splits and the hash of the files, or the commit on the hub.

        Args:
            check: Function that raises if the first row of a file is not as expected.
            rules: Other values that determine the rows.

        Raises:
            DataError: When a file cannot be read.
            PathError: When there is no file of a split.
        """
        if self.path is None:
            commit = commit_of(self.hub, self.revision)
            digest = digest_of(self.hub, commit, self.part, *rules)
            return DataInfo("paired", tuple(self.splits), digest)
        files = self._files(self.path)
        paths = sorted({path for held in files.values() for _, path in held})
        check_first_rows(paths, check)
        # The rows of a single file have the name of the requested part in their ids.
        named = [self.part] if self.part is not None and Path(self.path).is_file() else []
        digest = content_digest(paths, " ".join([*rules, *named]))
        beside = passed_over(Path(self.path), paths, self.parts)
        return DataInfo("paired", tuple(files), digest, beside)

    def records(
        self, split: str, hub_parts: Sequence[str | None]
    ) -> Callable[[], Iterator[Record]]:
        """Returns a function that reads the rows of a split; each call reads them again.

        Args:
            split: A split of the source.
            hub_parts: The folders to read on the hub, one after another; None for all together.

        Raises:
            DataError: When there is no such split.
        """
        if self.path is None:
            of_split(dict.fromkeys(self.splits), split, self.hub)
            return lambda: (
                record for part in hub_parts for record in self._hub_records(split, part)
            )
        files = of_split(self._files(self.path), split, self.path)
        return lambda: (
            Record(f"{part}/{split}:{number}", f"{path}:{number}", given)
            for part, path in files
            for number, given in objects(path)
        )

    def _hub_records(self, split: str, part: str | None) -> Iterator[Record]:
        return hub_records(
            self.hub, split=split, revision=self.revision, data_dir=part, prefix=part
        )

    def _files(self, path: str) -> Mapping[str, list[tuple[str, Path]]]:
        return part_files(
            Path(path), self.part, parts=self.parts, splits=self.splits, word=self.word
        )
