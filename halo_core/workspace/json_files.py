"""Reads files of JSON objects: one object per line, or one array, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from halo_core.errors import DataError, nearest

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
"""Endings of the names of such files."""
_MOST_READ_AGAIN = 2**26
"""Characters of a wrong file that are read as one object, for its message."""


def near_names(path: Path) -> str:
    """Returns a sentence with the names most similar to that of a missing file, or ""."""
    parent = path.parent
    if not parent.is_dir():
        return f" The folder {parent} does not exist either"
    names = sorted(entry.name for entry in parent.iterdir())
    near = nearest(path.name, names, most=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def not_a_file(path: Path) -> str:
    """Returns why a path that exists cannot be read as a file, or "".

    A pipe gives its content once, and only when another program writes to it. A device may give
    bytes without end.

    Args:
        path: A path that the user gave.

    Raises:
        OSError: When there is no such file.

    >>> not_a_file(Path("/dev/null"))
    'this is a device; expected a file. Write the content to a file first'
    """
    kind = _SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    return f"this is {kind}; expected a file. Write the content to a file first" if kind else ""


def no_file_in(folder: Path) -> str:
    """Returns the name of a pipe, socket or device in a folder, and the reason to refuse it, or "".

    A folder that cannot be read is refused, too.

    Args:
        folder: A folder whose files a program will read, such as that of a model.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    for path in paths:
        if path.exists() and (problem := not_a_file(path)):
            return f"{path.name}: {problem}"
    return ""


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (position, object) of a file: one JSON object per line, or one array of objects.

    The position is the number of the line, or of the item in an array, counted from 1.

    Args:
        path: A file. It is read through gzip if its name ends in ``.gz``. Only a ``.json`` file
            may contain an array, and such a file is read whole.

    Raises:
        DataError: When a line or item is not a JSON object. The error names file and line.
    """
    try:
        yield from _array(path) if _is_array(path) else _lines(path)
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"cannot be read as {'gzipped ' if path.suffix == '.gz' else ''}UTF-8 text: {error}",
            location=str(path),
        ) from error


def _is_array(path: Path) -> bool:
    if ".jsonl" in path.name:
        return False
    with _open(path) as file:
        return next((line.lstrip()[0] for line in file if line.strip()), "") == "["


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _object(_parsed(line.rstrip("\r\n"), path, number), path, number)


def _array(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _open(path) as file:
        items = _parsed(file.read(), path, 1)
    for number, item in enumerate(items, start=1):
        yield number, _object(item, path, number)


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        value = _decode(text)
    except _TwiceError as error:
        raise DataError(
            f"an object has the key {str(error)[:60]!r} twice; keep one",
            location=f"{path}:{first_line}",
        ) from None
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(
            f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}; expected one JSON "
            f"object per line, or one array in a .json file{_of_one_object(path, text)}",
            location=f"{path}:{line}",
        ) from error
    except ValueError:  # Python reads no longer ones, because their time grows with the square.
        raise DataError(
            f"contains a whole number of more than {sys.get_int_max_str_digits():,} digits; "
            "expected shorter numbers. Write it as a text if it is not a number",
            location=f"{path}:{first_line}",
        ) from None
    except RecursionError:
        raise DataError(
            "nested too deeply; expected one JSON object per line, or one array in a .json file",
            location=f"{path}:{first_line}",
        ) from None
    # Only an escape can write half a character, so other lines need no further check.
    if "\\u" in text and not _is_unicode(value):
        raise DataError(
            "a \\ud800 to \\udfff without its other half is not a character; mend or remove it",
            location=f"{path}:{first_line}",
        )
    return value


def _of_one_object(path: Path, line: str) -> str:
    """Returns advice if a file is one object over several lines; "" if it is something else."""
    if not line.lstrip().startswith("{"):
        return ""
    try:
        with _open(path) as file:
            value = json.loads(file.read(_MOST_READ_AGAIN))
    except (ValueError, RecursionError):
        return ""
    rows = [name for name, item in value.items() if isinstance(item, list) and item]
    where = f" Its rows may be the list {rows[0]!r}." if rows else ""
    return f". This file is one object over several lines.{where} Save the rows as an array"


class _TwiceError(Exception):
    """A key that an object has twice. JSON has no rule for its value."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _decode(text: str) -> Any:
    # `json.loads` makes a decoder for each text, but names a byte order mark in its message.
    return json.loads(text) if text.startswith("\ufeff") else _DECODER.decode(text)


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(value: Any, path: Path, number: int) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise DataError(
        f"got {json.dumps(value)[:60]}; expected a JSON object such as "
        '{"prompt": ..., "completion": ...}',
        location=f"{path}:{number}",
    )


def _open(path: Path) -> Any:
    opener = cast(Callable[..., Any], gzip.open if path.suffix == ".gz" else open)
    # -sig: programs on Windows write a byte order mark first.
    return opener(path, "rt", encoding="utf-8-sig")
