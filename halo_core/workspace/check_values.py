"""Check values of files. A stage's output, rows and tokens are compared with them before use.

A file is read and hashed once. Afterwards its size and its time of change are enough, as long as
they are the same as when it was hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from halo_core.errors import DataError, DiskError
from halo_core.hashing import file_hash
from halo_core.workspace.databases import ENDINGS as DATABASE_ENDINGS
from halo_core.workspace.records import (
    CHECKED,
    DONE,
    ERROR,
    EVENTS,
    OWNER,
    STAGE,
    CheckedRecord,
    FileCheck,
    stage_done,
)

CHECKPOINTS = "checkpoints"
"""The folder in a stage's folder whose files change while it runs. They are not products."""

CHECKPOINT_PREFIX = "step-"
"""Beginning of the name of a checkpoint's folder. It holds the check values of its own files."""

AGAIN = "Run the same command again: halo run computes the stage again"
_NOT_MADE = {DONE.name, ERROR.name, EVENTS.name, OWNER.name, STAGE.name, CHECKED.name}


def files_made(folder: Path) -> list[str]:
    """Returns the files that a stage wrote into its folder, without halo's own files.

    Hidden files are left out. They come from a killed writer or from another program. SQLite files
    are left out too, because they have a check of their own.
    """
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in paths
        if path.parts[0] not in {CHECKPOINTS, *_NOT_MADE}
        and not any(part.startswith(".") for part in path.parts)
        and not path.name.endswith(DATABASE_ENDINGS)
    )


def check_values(folder: Path, files: Iterable[str]) -> dict[str, FileCheck]:
    """Returns the check values of files in a folder, and records that they were just read."""
    checks = {name: check_value(folder / name) for name in files}
    _remember(folder, checks)
    return checks


def check_value(path: Path) -> FileCheck:
    """Returns the check value of a file."""
    return FileCheck(sha256=file_hash(path), size=_size(path))


def damages(
    folder: Path, checks: Mapping[str, FileCheck], *, read_all: bool = False
) -> dict[str, str]:
    """Returns the files that differ from what was written, with the problem of each.

    Args:
        folder: The folder of the files.
        checks: The check values from `check_values`.
        read_all: Whether to read also files that have not changed since the last time.
    """
    seen = {} if read_all else _remembered(folder)
    found = {}
    was_read = False
    for name, check in checks.items():
        path = folder / name
        if name.endswith(DATABASE_ENDINGS):  # An older halo recorded their hashes.
            continue
        if not path.is_file():
            found[name] = "is gone"
        elif (size := _size(path)) != check["size"]:
            found[name] = f"has {size} bytes; expected {check['size']}"
        elif seen.get(name) != [size, path.stat().st_mtime_ns]:
            was_read = True
            if file_hash(path) != check["sha256"]:
                found[name] = "holds other bytes than were written"
    if was_read and not found:
        _remember(folder, checks)
    return found


def check_product(folder: Path, name: str) -> None:
    """Checks that a file of a finished stage is as it was written. Writes nothing.

    A stage that is not finished, or that an older halo finished, has no check values.

    Args:
        folder: The stage's folder.
        name: The name of the file in the folder.

    Raises:
        DataError: When it is not.
    """
    done = stage_done(folder)
    check_file(folder / name, {} if done is None else done.get("files", {}), AGAIN)


def check_file(path: Path, checks: Mapping[str, FileCheck], mend: str) -> None:
    """Checks that a file is as it was written, if its check value is known. Writes nothing.

    Args:
        path: The file.
        checks: Check values of files in its folder, by name.
        mend: The advice if it is not.

    Raises:
        DataError: When it is not.
    """
    check = checks.get(path.name)
    if check is None:
        return
    if not path.is_file():
        what = "is gone"
    elif _size(path) == check["size"] and file_hash(path) == check["sha256"]:
        return
    else:
        what = "holds other bytes than were written"
    raise DataError(f"{what}; expected the file as halo wrote it. {mend}", location=str(path))


def _size(path: Path) -> int:
    return path.stat().st_size


def _remembered(folder: Path) -> Mapping[str, list[int]]:
    try:
        record = CHECKED.read(folder)
    except (DataError, OSError):
        return {}  # Everything is read again.
    return {} if record is None else record["files"]


def _remember(folder: Path, checks: Iterable[str]) -> None:
    files = {name: [_size(folder / name), (folder / name).stat().st_mtime_ns] for name in checks}
    # If the workspace cannot be written to, or is full, its files are read each time.
    with suppress(OSError, DiskError):
        CHECKED.write(folder, CheckedRecord(files=files))
