"""The Python files that a spec may name with ``file:``. They are code, and halo runs them.

A spec that came from somebody else could otherwise name any file of the machine. A file in the
spec's own folder came with the spec. Others must be allowed by whoever calls halo.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from halo_core.errors import UserError

VARIABLE = "HALO_FILES"
OPTION = "--allow-file"


def allowed_folders() -> list[Path]:
    """Returns the folders in HALO_FILES, which are separated as in PATH."""
    listed = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [Path(folder).expanduser().resolve() for folder in listed if folder]


def allow(folders: Sequence[str]) -> None:
    """Adds folders to HALO_FILES, for this process and those that it starts.

    Raises:
        UserError: When one is not a folder, or its name holds the character between folders.
    """
    for folder in folders:
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise UserError("no such folder; expected the folder of Python files", location=folder)
        if os.pathsep in str(path):
            raise UserError(
                f"the name of the folder contains {os.pathsep!r}, which separates folders in "
                f"{VARIABLE}; rename the folder",
                location=folder,
            )
        if path not in allowed_folders():
            listed = [*filter(None, [os.environ.get(VARIABLE)]), str(path)]
            os.environ[VARIABLE] = os.pathsep.join(listed)


def check_allowed(file: Path, folders: Sequence[Path]) -> None:
    """Checks that a file may be run: its real path is below one of the folders or an allowed one.

    Args:
        file: The file. Its links are followed.
        folders: The folders that the spec may use.

    Raises:
        UserError: When it may not.
    """
    real = file.resolve()
    known = [*(folder.resolve() for folder in folders), *allowed_folders()]
    if any(real.is_relative_to(folder) for folder in known):
        return
    raise UserError(
        f"the file {real} is outside of the spec's folder, and halo would run it as code. If you "
        f"trust it, allow its folder with {OPTION} {real.parent} or in the variable {VARIABLE}; "
        "otherwise move it next to the spec"
    )
