"""Reads a small file that an option names."""

from __future__ import annotations

from pathlib import Path

from halo_core.workspace.json_files import not_a_file


def bytes_of(path: Path, expected: str) -> bytes:
    """Returns the content of a file that an option names.

    Args:
        path: The file.
        expected: The content that it should have, for the message: "a template in TOML".

    Raises:
        ValueError: When there is no such file, or it cannot be read as a file.
    """
    try:
        problem = not_a_file(path)
        content = b"" if problem else path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; expected {expected}") from None
    if problem:
        raise ValueError(f"{path}: {problem}")
    return content
