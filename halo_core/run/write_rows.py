"""Checks the rows of a source and writes them to Arrow files, one for each side of a hold-out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from halo_core.data import Loaded
from halo_core.errors import DataError, HaloError
from halo_core.feedback import Feedback
from halo_core.garbage import few_collections
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.rows import RowWriter
from halo_core.run.groups import Groups, group_id
from halo_core.run.row_checks import (
    checked_row,
    is_empty,
    known_columns,
    messages_of,
    place_of,
)
from halo_core.spec.data_sets import Source
from halo_core.workspace.check_values import check_values
from halo_core.workspace.disk import check_room, told_if_disk_fails
from halo_core.workspace.files import put_in_place
from halo_core.workspace.records import DATA, ROWS, DataRecord

CHUNK = 1024

Side = Literal["held", "rest"] | None
"""A side of a hold-out; None if there is none."""


def write_rows(sources: Mapping[Path, Source], wrote: Callable[[int], None]) -> DataRecord:
    """Reads a source once, writes its rows with their records, and returns the first record.

    Args:
        sources: The source by the folder of its rows. A second one is the other side of its
            hold-out.
        wrote: Receives the number of rows whenever some were written into the first folder.

    Raises:
        DataError: When a row does not match its feedback, or when no row is left.
        DiskError: When the disk is full, or fails.
        PluginError: When a third-party source raises.
    """
    source = next(iter(sources.values()))
    feedback = _feedback(source)
    loaded = _loaded(source)
    ignored: Counter[str] = Counter()
    found = _Found(source, feedback)
    given = _counted(_iterate(source, loaded), known_columns(feedback), ignored)
    with few_collections(), ExitStack() as files:
        writers: dict[Side, _Writer] = {}
        for folder, each in sources.items():
            writer = _Writer(folder, each, feedback, files, _unheard if writers else wrote)
            writers[_side(each)] = writer
        for side, row in found.rows(given):
            if side in writers:
                writers[side].add(row)
        for writer in writers.values():
            writer.write()
    # Read only now, because a source may count drops while its rows are read.
    dropped = _counts(source, loaded, "dropped") + Counter({"empty completion": found.empty})
    ignored.update(_counts(source, loaded, "ignored"))
    if source.part is not None:
        found.groups.check(found.kept["held"], source.part.fraction, place_of(source))
    if not found.kept[_side(source)]:
        raise DataError(_nothing_left(dropped), location=place_of(source))
    records = [
        writer.finish(dropped, found.kept.total() - found.kept[side], ignored)
        for side, writer in writers.items()
    ]
    return records[0]


def _side(source: Source) -> Side:
    return None if source.part is None else source.part.side


def _unheard(rows: int) -> None:
    pass


class _Found:
    """The rows of a source as they are read, each with its side of a hold-out.

    Attributes:
        empty: Number of rows with an empty completion.
        kept: Number of the other rows by side.
        groups: Counts the groups of a hold-out.
    """

    def __init__(self, source: Source, feedback: Feedback) -> None:
        self._source = source
        self._feedback = feedback
        self.empty = 0
        self.kept: Counter[Side] = Counter()
        self.groups = Groups()

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Side, dict[str, Any]]]:
        """Yields the side and the columns of each row that is not empty."""
        for position, row in enumerate(rows):
            if not isinstance(row, Mapping):
                what = f"gave the row {row!r}; expected a mapping from columns to values"
                raise plugin_error(self._source.component, "load", what)
            checked = checked_row(self._source, self._feedback, row, position)
            if is_empty(self._feedback, checked):
                self.empty += 1
                continue
            side = self._side(row, checked)
            self.kept[side] += 1
            yield side, checked

    def _side(self, row: Mapping[str, Any], checked: Mapping[str, Any]) -> Side:
        part = self._source.part
        if part is None:
            return None
        prompt = messages_of(checked)
        id_ = group_id(row, prompt, None if checked.get("tools") else checked["prompt_id"])
        self.groups.add(id_, row, prompt)
        # The hash decides, not a random draw. So a group is on the same side in every source and
        # every run, and a larger share contains all groups of a smaller one.
        return "held" if int(id_, 16) < part.fraction * 16**16 else "rest"


class _Writer:
    """Writes the rows of one side into its folder, `CHUNK` at a time.

    Args:
        folder: The folder of the rows, which may not exist yet.
        source: The source, with this side as its part.
        feedback: The kind of feedback of the rows.
        files: Closes the file.
        wrote: Receives the number of rows whenever some were written.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        feedback: Feedback,
        files: ExitStack,
        wrote: Callable[[int], None],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._source = source
        self._feedback = feedback
        self._wrote = wrote
        self._beside = folder / f"{ROWS}.part"
        files.enter_context(_none_left(self._beside))
        self._file = files.enter_context(RowWriter(self._beside, feedback))
        self._content = hashlib.sha256()
        self._chunk: list[dict[str, Any]] = []
        self._count = 0

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row, and writes the rows if they are enough."""
        self._chunk.append(row)
        if len(self._chunk) == CHUNK:
            self.write()

    def write(self) -> None:
        """Writes the rows that were added."""
        if not self._chunk:
            return
        written = repr(self._chunk).encode()
        # The number of rows of a stream is not known before, so the disk is asked each time.
        check_room(self._folder, len(written), f"more rows of {place_of(self._source)}")
        self._file.write(self._chunk)
        self._content.update(written)
        self._count += len(self._chunk)
        self._wrote(len(self._chunk))
        self._chunk = []

    def finish(
        self, dropped: Mapping[str, int], elsewhere: int, ignored: Mapping[str, int]
    ) -> DataRecord:
        """Puts the closed file in its place, writes its record, and returns it.

        Args:
            dropped: Number of dropped rows of the source by reason.
            elsewhere: Number of rows on the other side.
            ignored: Number of values by column that is not read.
        """
        # Rows first, `data.json` last: if the process is killed between the two, the rows have no
        # record and are read again.
        put_in_place(self._beside, self._folder / ROWS)
        record = DataRecord(
            source=self._source.resolved.tree(),
            split=self._source.split,
            feedback=self._feedback,
            rows=self._count,
            dropped={reason: n for reason, n in sorted(dropped.items()) if n},
            held_elsewhere=elsewhere,
            digest=self._content.hexdigest()[:16],
        )
        if ignored:
            record["ignored_columns"] = dict(sorted(ignored.items()))
        record["files"] = check_values(self._folder, [ROWS])
        DATA.write(self._folder, record)
        return record


@contextmanager
def _none_left(file: Path) -> Iterator[None]:
    """Removes the file if it is not finished. If the disk is full, one sentence says so.

    Raises:
        DiskError: When the disk is full, or fails.
    """
    try:
        with told_if_disk_fails(file.parent):
            yield
    except BaseException:  # After Ctrl-C, the next run begins it again.
        file.unlink(missing_ok=True)
        raise


def _feedback(source: Source) -> Feedback:
    feedback = source.info.feedback
    if feedback is None:
        with blaming(source.component, "inspect"):
            feedback = source.component.inspect().feedback
    if feedback is None:
        raise DataError(
            "its kind of feedback is unknown. Is the hub reachable?", location=place_of(source)
        )
    return feedback


def _nothing_left(dropped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} dropped: {reason}" for reason, n in dropped.items())
    return f"no rows are left ({reasons or 'it is empty'}); expected at least one"


def _loaded(source: Source) -> Loaded:
    with _loading(source):
        loaded: object = source.component.load(source.split)
    if not isinstance(loaded, Loaded):
        what = f"returned {type(loaded).__name__}; expected Loaded"
        raise plugin_error(source.component, "load", what)
    return loaded


def _counts(source: Source, loaded: Loaded, name: Literal["dropped", "ignored"]) -> Counter[str]:
    """Returns a source's counts of dropped rows or ignored columns. Call it after the last row."""
    counts: object = getattr(loaded, name)
    if isinstance(counts, Mapping) and all(
        isinstance(key, str) and isinstance(n, int) for key, n in counts.items()
    ):
        return Counter(counts)
    keys = "reason" if name == "dropped" else "column"
    what = f"returned {name}={counts!r}; expected {keys} to number of rows"
    raise plugin_error(source.component, "load", what)


def _iterate(source: Source, loaded: Loaded) -> Iterator[Mapping[str, Any]]:
    with _loading(source):
        yield from loaded.rows


def _counted(rows: Iterable[Any], known: Set[str], ignored: Counter[str]) -> Iterator[Any]:
    """Yields rows unchanged, and counts values in columns that halo does not read."""
    for row in rows:
        if isinstance(row, Mapping) and len(row) and not known >= row.keys():
            ignored.update(n for n in row if n not in known and row[n] is not None)
        yield row


@contextmanager
def _loading(source: Source) -> Iterator[None]:
    """Blames a source for unexpected errors, and adds the place to errors raised on purpose."""
    try:
        with blaming(source.component, f"load({source.split!r})"):
            yield
    except HaloError as error:
        error.location = error.location or place_of(source)
        raise
