"""Paths that users write in specs: absolute, and possible for a file system."""

from __future__ import annotations

import os
from pathlib import Path

from halo_core.errors import PathError
from halo_core.printing import shortened

LONGEST_PATH = 4095
LONGEST_NAME = 255
"""Bytes of a path, and of each name in it, that file systems allow."""


def user_path(text: str, folder: Path) -> Path:
    """Returns the absolute path that a text means.

    Args:
        text: A path, perhaps with ``~`` or with the name of a user after it.
        folder: The folder that a relative path is relative to.

    Raises:
        PathError: When no file can have this path.
    """
    shown = shortened(repr(text), 200)
    if "\0" in text:
        raise PathError(f"{shown} contains the character \\0; expected a path")
    try:
        path = folder / Path(text).expanduser()
    except RuntimeError:
        raise PathError(f"{shown} begins with the name of a user who does not exist") from None
    longest = max(len(os.fsencode(name)) for name in path.parts)
    if longest > LONGEST_NAME:
        raise PathError(
            f"{shown} contains a name of {longest:,} bytes; expected at most {LONGEST_NAME}"
        )
    if (length := len(os.fsencode(path))) > LONGEST_PATH:
        raise PathError(f"{shown} is a path of {length:,} bytes; expected at most {LONGEST_PATH}")
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise PathError(f"{shown} cannot be followed: {error}") from error
