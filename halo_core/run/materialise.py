"""Finds the rows of a source on disk, or has them written there, once per content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from halo_core.errors import DataError, VersionError
from halo_core.feedback import Feedback
from halo_core.run.identity import digest, source_identity
from halo_core.run.write_rows import write_rows
from halo_core.spec.data_sets import SetSpec, Source
from halo_core.spec.stage_feedback import stages_in
from halo_core.workspace.check_values import damages
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import held
from halo_core.workspace.no_links import check_no_links
from halo_core.workspace.records import DATA, ROWS, DataRecord


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


def sides_of(sets: Iterable[SetSpec]) -> frozenset[str]:
    """Returns the keys of the sides of hold-outs in sets, for `wanted` of `materialise_set`."""
    sources = (source for data in sets for source in data.sources)
    return frozenset(_key(source) for source in sources if source.part is not None)


def materialise_set(
    data: SetSpec,
    workspace: Workspace,
    wrote: Callable[[int], None] | None = None,
    wanted: Collection[str] = (),
) -> list[Rows]:
    """Returns the rows of all sources of a set, and writes them if they are not on disk yet.

    Args:
        data: The set.
        workspace: The workspace that has its rows.
        wrote: Receives the number of rows whenever some were written.
        wanted: The sides of hold-outs that will be asked for (`sides_of`). If the other side is one
            of them, it is written too, so that the source is read once.

    Raises:
        DataError: When a row does not match its feedback, or when no row is left.
        PluginError: When a third-party source raises.
    """
    rows = [materialise(source, workspace, wrote, wanted) for source in data.sources]
    kinds = sorted({"demonstration" if r.feedback == "text" else r.feedback for r in rows})
    if len(kinds) > 1 or len({r.feedback for r in rows}) > 1:
        raise DataError(
            f"its sources have different feedback: {', '.join(sorted({r.feedback for r in rows}))}"
            "; expected one kind. Convert them, or put them into separate sets",
            location=f"data set {data.name!r}",
        )
    return rows


def materialise(
    source: Source,
    workspace: Workspace,
    wrote: Callable[[int], None] | None = None,
    wanted: Collection[str] = (),
) -> Rows:
    """Returns the rows of one source; see `materialise_set`."""
    places = _Places(workspace, source)
    other = places.other_side(wanted)
    with ExitStack() as locks:
        # In the same order in every process, so that no two of them wait for each other.
        for key in sorted({places.key, *other}):
            places.lock(key, locks)
        record, damage = places.known(places.key)
        if record is None:
            # Another process may have written the other side meanwhile.
            lacking = {k: s for k, s in other.items() if places.known(k)[0] is None}
            sides = {places.folder(k): s for k, s in {places.key: source, **lacking}.items()}
            record = write_rows(sides, wrote or _unheard)
    return Rows(
        source.resolved.short_name,
        places.folder(places.key) / ROWS,
        record["feedback"],
        record["rows"],
        record["dropped"],
        record["held_elsewhere"],
        record["digest"],
        record.get("ignored_columns", {}),
        source.info.passed_over,
        damage,
        source.remarks,
    )


def _key(source: Source) -> str:
    return digest(source_identity(source))


class _Places:
    """The folders of the rows of a source, and of the other side of its hold-out."""

    def __init__(self, workspace: Workspace, source: Source) -> None:
        self.key = _key(source)
        self._workspace = workspace
        self._source = source
        # Rows of a stage are written again, because the stage may have been computed again.
        self._steady = bool(source.info.digest) and not stages_in(source)
        self._folders: dict[str, Path] = {}

    def other_side(self, wanted: Collection[str]) -> Mapping[str, Source]:
        """Returns the other side by its key, if it can be kept and will be asked for."""
        part = self._source.part
        if part is None or not self._steady or not wanted:
            return {}
        side = replace(part, side="rest" if part.side == "held" else "held")
        other = replace(self._source, part=side)
        key = _key(other)
        return {key: other} if key in wanted else {}

    def folder(self, key: str) -> Path:
        """Returns the folder of the rows of a key: in the workspace, or in its spare folder."""
        if key not in self._folders:
            folder, spare = self._workspace.data(key), self._workspace.spare
            if spare is not None and not (self._steady and _known(folder)[0]):
                folder = spare / key
            self._folders[key] = folder
        return self._folders[key]

    def known(self, key: str) -> tuple[DataRecord | None, str]:
        """Returns the record of the rows of a key, and what is wrong with them; see `_known`."""
        return _known(self.folder(key)) if self._steady else (None, "")

    def lock(self, key: str, locks: ExitStack) -> None:
        """Lets other processes wait that need the rows of a key."""
        # Nobody else writes into the spare folder.
        if self._workspace.spare is None:
            folder = self._workspace.data(key)
            check_no_links(self._workspace.root, folder)
            # Cells of a suite that run at the same time need the same rows.
            locks.enter_context(held(folder))


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
