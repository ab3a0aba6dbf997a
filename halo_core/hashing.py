"""Hashes that name things: texts, JSON trees and files."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path


def short_hash(content: str | bytes, digits: int = 16) -> str:
    """Returns the first hexadecimal digits of the SHA-256 of a text (as UTF-8) or of bytes.

    Keys, ids and cached results in existing workspaces are named by it, so the result for a content
    must never change.

    Args:
        content: The content to name.
        digits: Number of digits to return, 1 to 64.

    >>> short_hash("hi")
    '8f434346648f6b96'
    """
    # A text from JSON may have half of a surrogate pair, which is not valid UTF-8.
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]


def file_hash(path: Path) -> str:
    """Returns the 64 hexadecimal digits of the SHA-256 of a file's bytes, read piece by piece.

    Raises:
        OSError: When the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_file_hash(path: Path) -> str:
    """Returns `file_hash` of a file, read once per process while its size and time are the same.

    Raises:
        OSError: When the file cannot be read.
    """
    stat = os.stat(path)
    return _known_hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _known_hash(path: Path, size: int, modified: int) -> str:
    del size, modified  # They make the cache notice that the file has changed.
    return file_hash(path)
