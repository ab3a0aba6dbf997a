"""A path of a SQLite file that can be part of a URI, and the longest path that SQLite opens."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from halo_core.errors import PathError
from halo_core.hashing import short_hash

LONGEST = 500
"""Largest number of bytes in the path of a database. SQLite has room for 512, with its endings."""
_OF_URIS = "%?#"
"""Characters with a meaning in a URI. Versions of SQLAlchemy differ in how they decode them."""


def safe_path(file: Path) -> Path:
    """Returns a path of a file without characters that have a meaning in a URI.

    It leads through a link in a folder of this user. SQLite follows the link, so its companion
    files lie next to the file itself.

    Raises:
        PathError: When another user owns the folder of the links.
    """
    if not any(character in str(file) for character in _OF_URIS):
        return file
    folder = Path(tempfile.gettempdir()) / f"halo-links-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or folder.is_symlink():
        raise PathError("another user made this folder; remove it", location=str(folder))
    link = folder / short_hash(str(file.parent))
    if not link.is_symlink() or os.readlink(link) != str(file.parent):
        beside = link.with_name(f"{link.name}.{os.getpid()}")
        beside.symlink_to(file.parent)
        beside.replace(link)
    return link / file.name


def check_length(file: Path) -> None:
    """Checks that SQLite can open a path.

    Raises:
        PathError: When the path is too long.
    """
    length = len(os.fsencode(file))
    if length > LONGEST:
        raise PathError(
            f"has a path of {length} bytes, and SQLite opens paths of at most {LONGEST}. Use a "
            "workspace with a shorter path, or set MLFLOW_TRACKING_URI to a database with a "
            "shorter one: sqlite:////home/me/runs.db",
            location=f"{str(file)[:60]}...{str(file)[-20:]}",
        )
