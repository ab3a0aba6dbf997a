"""Records about a folder: check values, rows, title, owner, trackers and removal."""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field as required.

from typing import Any, NotRequired, TypedDict

from halo_core.feedback import Feedback


class FileCheck(TypedDict):
    """Check value of a file, which shows whether it is still as written."""

    sha256: str
    """Hash of its bytes."""
    size: int
    """Number of its bytes."""


class CheckedRecord(TypedDict):
    """`checked.json`: size and time of each file in a folder when it was last checked."""

    schema: NotRequired[int]
    """Version of the file."""
    files: dict[str, list[int]]
    """Size and modification time in nanoseconds, by path."""


class DataRecord(TypedDict):
    """`data.json` next to the rows of a source."""

    schema: NotRequired[int]
    """Version of the file."""
    source: dict[str, Any]
    """Source with its options, as in a spec."""
    split: str
    """Split that was read."""
    feedback: Feedback
    """Kind of the rows."""
    rows: int
    """Number of rows."""
    dropped: dict[str, int]
    """Number of dropped rows by reason."""
    held_elsewhere: int
    """Number of rows on the other side of a hold-out."""
    digest: str
    """Hash of the rows."""
    ignored_columns: NotRequired[dict[str, int]]
    """Number of rows with a value, by column that is not read."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of the file of rows; none from an older halo."""


class TitleRecord(TypedDict):
    """`title.json` in the folder of a run or suite: its title from `halo runs rename`, its note."""

    schema: NotRequired[int]
    """Version of the file."""
    title: str
    """Title that people gave, which takes precedence over that of `run.json`; may be empty."""
    note: str
    """Text about the run; empty if there is none."""


class OwnerRecord(TypedDict):
    """`owner.json` in the folder of a run or a stage: the process that is writing there now.

    It is valid only while this process holds the folder's lock.
    """

    schema: NotRequired[int]
    """Version of the file."""
    host: str
    """Name of the machine."""
    process: int
    """Id of the process there."""
    since: float
    """Start of the process in Unix seconds."""


class JoinRecord(TypedDict):
    """`join.json` in `.join/` of a run's folder, while the run uses several machines.

    Only the user who runs it can read it.
    """

    schema: NotRequired[int]
    """Version of the file."""
    host: str
    """Name or address of the machine of `halo run`."""
    port: int
    """Port on which it waits for other machines."""
    token: str
    """Secret of this run, with which they show that they share the workspace."""


class TrackingRecord(TypedDict):
    """`tracking.json` in a run's folder: the position of each tracker in the events."""

    schema: NotRequired[int]
    """Version of the file."""
    offsets: dict[str, int]
    """Position in bytes after the last event that each tracker took."""


class TrashRecord(TypedDict):
    """`trash.json` in a folder below `trash/`: what is being removed. It is written first.

    If the process is killed, the next `halo runs rm` or `halo runs gc` ends its work.
    """

    schema: NotRequired[int]
    """Version of the file."""
    time: float
    """Start of the removal in Unix seconds."""
    folders: list[str]
    """Files and folders to remove, relative to the workspace; first runs, then what they used."""
