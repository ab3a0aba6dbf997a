"""Checks the rows of a source and writes them to an Arrow file, once per content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from halo_core.data import Loaded
from halo_core.errors import DataError, DiskError, HaloError, VersionError
from halo_core.feedback import Feedback
from halo_core.garbage import few_collections
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.rows import RowWriter
from halo_core.run.groups import Groups, group_id
from halo_core.run.identity import digest, source_identity
from halo_core.run.row_checks import (
    checked_row,
    is_empty,
    known_columns,
    messages_of,
    place_of,
)
from halo_core.spec.data_sets import Part, SetSpec, Source
from halo_core.spec.stage_feedback import stages_in
from halo_core.workspace.check_values import check_values, damages
from halo_core.workspace.disk import check_room, told_when_full
from halo_core.workspace.files import put_in_place
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import held
from halo_core.workspace.no_links import check_no_links
from halo_core.workspace.records import DATA, ROWS, DataRecord

CHUNK = 1024


@dataclass(frozen=True)
class Rows:
    """The rows of a source on disk.

    Attributes:
        name: The name of the source, for messages.
        file: The Arrow file.
        feedback: The kind of feedback of all rows.
        count: Number of rows that are kept.
        dropped: Number of dropped rows by reason.
        held_elsewhere: Number of rows on the other side of a hold-out.
        digest: Hash of the rows' content.
        ignored: Maps each column that is not read to the number of rows with a value in it. The
            number is 0 for a column that should be ignored but is in no row.
        passed_over: Files and folders next to those of the splits, which are not read.
        damage: The damage of earlier rows on disk, because of which they were read again; "" if
            there was none.
        read_as: Lines that say how the source reads its columns.
    """

    name: str
    file: Path
    feedback: Feedback
    count: int
    dropped: Mapping[str, int]
    held_elsewhere: int
    digest: str
    ignored: Mapping[str, int] = field(default_factory=dict)
    passed_over: Sequence[str] = ()
    damage: str = ""
    read_as: Sequence[str] = ()


def materialise_set(
    data: SetSpec, workspace: Workspace, wrote: Callable[[int], None] | None = None
) -> list[Rows]:
    """Returns the rows of all sources of a set, and writes them if they are not on disk yet.

    Args:
        data: The set.
        workspace: The workspace that has its rows.
        wrote: Receives the number of rows whenever some were written.

    Raises:
        DataError: When a row does not match its feedback, or when no row is left.
        PluginError: When a third-party source raises.
    """
    rows = [materialise(source, workspace, wrote) for source in data.sources]
    kinds = sorted({"demonstration" if r.feedback == "text" else r.feedback for r in rows})
    if len(kinds) > 1 or len({r.feedback for r in rows}) > 1:
        raise DataError(
            f"its sources have different feedback: {', '.join(sorted({r.feedback for r in rows}))}"
            "; expected one kind. Convert them, or put them into separate sets",
            location=f"data set {data.name!r}",
        )
    return rows


def materialise(
    source: Source, workspace: Workspace, wrote: Callable[[int], None] | None = None
) -> Rows:
    """Returns the rows of one source; see `materialise_set`."""
    key = digest(source_identity(source))
    folder = workspace.data(key)
    # Rows of a stage are written again, because the stage may have been computed again.
    steady = source.info.digest and not stages_in(source)
    lock: AbstractContextManager[None]
    if workspace.spare is not None:
        # No lock: nobody writes there, and this process alone writes into the spare folder.
        record, _ = _known(folder) if steady else (None, "")
        folder, lock = (folder if record else workspace.spare / key), nullcontext()
    else:
        check_no_links(workspace.root, folder)
        # Cells of a suite that run at the same time need the same rows.
        lock = held(folder)
    with lock:
        record, damage = _known(folder) if steady else (None, "")
        if record is None:
            record = _write(source, folder, wrote or _unheard)
    return Rows(
        source.resolved.short_name,
        folder / ROWS,
        record["feedback"],
        record["rows"],
        record["dropped"],
        record["held_elsewhere"],
        record["digest"],
        record.get("ignored_columns", {}),
        source.info.passed_over,
        damage,
        source.info.read_as,
    )


def _known(folder: Path) -> tuple[DataRecord | None, str]:
    """Returns the record of rows, and what is wrong with the record or the rows, if anything.

    Wrong rows are read again.

    Raises:
        VersionError: When a newer halo wrote it.
    """
    try:
        record = DATA.read(folder)
    except VersionError:
        raise
    except DataError as error:
        return None, str(error)
    if record is None:
        return None, ""
    # An older halo wrote no check values; whether the file is there can be seen in any case.
    checks = record.get("files", {})
    found = damages(folder, checks) if checks else {}
    if not checks and not (folder / ROWS).is_file():
        found = {ROWS: "is gone"}
    for name, what in found.items():
        return None, f"{folder / name} {what}"
    return record, ""


def _unheard(rows: int) -> None:
    pass


def _write(source: Source, folder: Path, wrote: Callable[[int], None]) -> DataRecord:
    feedback = _feedback(source)
    loaded = _loaded(source)
    counts: Counter[str] = Counter()
    content = hashlib.sha256()
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{ROWS}.part"
    groups = Groups()
    ignored: Counter[str] = Counter()
    given = _counted(_iterate(source, loaded), known_columns(feedback), ignored)
    rows = _kept(source, feedback, given, counts, groups)
    with (
        few_collections(),
        _none_left_when_full(beside),
        RowWriter(beside, feedback) as writer,
    ):
        while chunk := list(islice(rows, CHUNK)):
            written = repr(chunk).encode()
            # The number of rows of a stream is not known before, so the disk is asked each time.
            check_room(folder, len(written), f"more rows of {place_of(source)}")
            writer.write(chunk)
            content.update(written)
            counts["kept"] += len(chunk)
            wrote(len(chunk))
    # Read only now, because a source may count drops while its rows are read.
    dropped = _counts(source, loaded, "dropped") + Counter({"empty completion": counts["empty"]})
    ignored.update(_counts(source, loaded, "ignored"))
    if source.part is not None:
        held_out = counts["kept" if source.part.side == "held" else "elsewhere"]
        groups.check(held_out, source.part.fraction, place_of(source))
    if not counts["kept"]:
        raise DataError(_nothing_left(dropped), location=place_of(source))
    # Rows first, `data.json` last: if the process is killed between the two, the rows have no
    # record and are read again.
    put_in_place(beside, folder / ROWS)
    record = DataRecord(
        source=source.resolved.tree(),
        split=source.split,
        feedback=feedback,
        rows=counts["kept"],
        dropped={reason: n for reason, n in sorted(dropped.items()) if n},
        held_elsewhere=counts["elsewhere"],
        digest=content.hexdigest()[:16],
    )
    if ignored:
        record["ignored_columns"] = dict(sorted(ignored.items()))
    record["files"] = check_values(folder, [ROWS])
    DATA.write(folder, record)
    return record


@contextmanager
def _none_left_when_full(file: Path) -> Iterator[None]:
    """Says in one sentence that the disk is full, and gives the room of the unfinished file back.

    Raises:
        DiskError: When the disk is full.
    """
    try:
        with told_when_full(file.parent):
            yield
    except DiskError:
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


def _kept(
    source: Source,
    feedback: Feedback,
    rows: Iterable[Mapping[str, Any]],
    counts: Counter[str],
    groups: Groups,
) -> Iterator[dict[str, Any]]:
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            what = f"gave the row {row!r}; expected a mapping from columns to values"
            raise plugin_error(source.component, "load", what)
        checked = checked_row(source, feedback, row, position)
        if is_empty(feedback, checked):
            counts["empty"] += 1
        elif source.part is None or _in_part(source.part, row, checked, groups):
            yield checked
        else:
            counts["elsewhere"] += 1


def _in_part(
    part: Part, row: Mapping[str, Any], checked: Mapping[str, Any], groups: Groups
) -> bool:
    prompt = messages_of(checked)
    id_ = group_id(row, prompt, None if checked.get("tools") else checked["prompt_id"])
    groups.add(id_, row, prompt)
    # The hash decides, not a random draw. So a group is on the same side in every source and every
    # run, and a larger share contains all groups of a smaller one.
    held = int(id_, 16) < part.fraction * 16**16
    return held == (part.side == "held")
