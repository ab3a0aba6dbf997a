"""Writes the folder of a new plugin: all of it, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from halo_core.errors import PathError
from halo_core.workspace.disk import told_if_disk_fails
from halo_core.workspace.files import begun_folder


def write_package(target: Path, contents: Mapping[str, str]) -> None:
    """Writes the files of a package into a folder next to the target, and renames it.

    Args:
        target: The folder of the package, which must not exist.
        contents: The text of each file by its path in the folder.

    Raises:
        PathError: When the target exists, or cannot be written.
        DiskError: When the disk is full, or fails.
    """
    check_target(target)
    try:
        beside = begun_folder(target)
        try:
            with told_if_disk_fails(target.parent):
                for path, text in contents.items():
                    file = beside / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text, encoding="utf-8")
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise PathError(
            f"cannot be written: {error.strerror or error}", location=str(target)
        ) from error


def check_target(target: Path) -> None:
    """Does nothing if a folder can be made.

    Raises:
        PathError: When it exists, or the folder that it would be in does not.
    """
    if target.exists() or target.is_symlink():
        raise PathError(
            "this exists already, and halo new overwrites nothing; choose another name, or another "
            "--folder",
            location=str(target),
        )
    if not target.parent.is_dir():
        raise PathError("no such folder; make it first", location=str(target.parent))
