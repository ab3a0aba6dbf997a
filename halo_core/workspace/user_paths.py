"""Paths that users write in specs: absolute, and possible for a file system."""

from __future__ import annotations

import os
import re
from pathlib import Path

from halo_core.errors import PathError
from halo_core.printing import shortened
from halo_core.redact import redact_setting

LONGEST_PATH = 4095
LONGEST_NAME = 255
"""Bytes of a path, and of each name in it, that file systems allow."""

# One slash is left of two after pathlib. A single letter is a drive of Windows.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def address_problem(text: str, folder: Path = Path()) -> str | None:
    """Returns what is wrong with a path that is an address; None if it is a path.

    Args:
        text: The path. A file with such a name makes it a path.
        folder: The folder that it is relative to.

    >>> address_problem("https://ann:sesame@host/rows.jsonl").partition(";")[0]
    "'https://***@host/rows.jsonl' is an address"
    >>> address_problem("rows.jsonl"), address_problem("C:/rows.jsonl")
    (None, None)
    """
    if _ADDRESS.match(text) is None or os.path.lexists(folder / text):
        return None
    shown = shortened(repr(redact_setting(text)), 200)
    return (
        f"{shown} is an address; expected the path of a file or folder on this machine. To use "
        "what is there, download it first, or mount it"
    )


def emptiness_problem(text: str) -> str | None:
    """Returns what is wrong with a path that has no characters; None if it has some.

    As a path, an empty text would mean the current folder. It is almost always a variable that is
    not set, as in ``--workspace "$RUNS"``.
    """
    if text:
        return None
    return "it is empty; expected a path. Write . for the current folder"


def empty_name_problem(text: str) -> str | None:
    """Returns what is wrong with the name of a run that has no letters; None if it has some.

    All names begin with an empty one. So it would mean the only run of a workspace.
    """
    if text.strip():
        return None
    return (
        "the name is empty; expected the name or the folder of a run, which halo runs shows. A "
        "variable of the shell may not be set"
    )


def encoding_problem(path: str | os.PathLike[str]) -> str | None:
    """Returns what is wrong with a path whose bytes are not UTF-8; None if they are.

    halo records paths as text. Only UTF-8 comes back from a file as it was.
    """
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError as error:
        return (
            f"the byte 0x{error.object[error.start]:02x} of this path is not UTF-8 text; rename "
            "the file or folder"
        )
    return None


def user_path(text: str, folder: Path) -> Path:
    """Returns the absolute path that a text means.

    Args:
        text: A path, perhaps with ``~`` or with the name of a user after it.
        folder: The folder that a relative path is relative to.

    Raises:
        PathError: When no file can have this path.
    """
    shown = shortened(repr(text), 200)
    if (problem := emptiness_problem(text)) is not None:
        raise PathError(problem)
    if "\0" in text:
        raise PathError(f"{shown} contains the character \\0; expected a path")
    if (problem := address_problem(text, folder)) is not None:
        raise PathError(problem)
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
    if (problem := encoding_problem(path)) is not None:
        raise PathError(f"{shown}: {problem}")
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise PathError(f"{shown} cannot be followed: {error}") from error
