"""Finds the files of a data source on this machine, and reads and hashes them."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from halo_core.errors import DataError, PathError

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")


def split_files(path: Path) -> Mapping[str, Path]:
    """Returns split to file, for a folder of ``<split>.jsonl`` or a single file.

    A single file is the split that its name says, if that is a usual one, else ``train``.

    Args:
        path: A ``.jsonl``, ``.jsonl.gz``, ``.json`` or ``.json.gz`` file, or a folder of them.

    Raises:
        PathError: When there is no such file or folder, or no file of these endings in it.
    """
    if path.is_dir():
        return _files_of_folder(path)
    if not path.exists():
        raise PathError(f"there is no such file or folder.{_near(path)}", location=str(path))
    name = _split_name(path)
    if name is None:
        raise PathError(f"expected a file that ends in {', '.join(ENDINGS)}", location=str(path))
    return {name if name in ("test", "validation") else "train": path}


def _files_of_folder(folder: Path) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = _split_name(path)
        if name is None or not path.is_file():
            continue
        if name in files:
            raise PathError(
                f"{files[name].name} and {path.name} both hold the split {name!r}: remove one",
                location=str(folder),
            )
        files[name] = path
    if not files:
        raise PathError(
            f"the folder holds no file that ends in {', '.join(ENDINGS)}; "
            "expected train.jsonl, test.jsonl or the like",
            location=str(folder),
        )
    return files


def _split_name(path: Path) -> str | None:
    ending = next((e for e in ENDINGS if path.name.endswith(e)), None)
    return path.name.removesuffix(ending) if ending else None


def _near(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f" Nor is there a folder {parent}"
    names = sorted(entry.name for entry in parent.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (position, object) of a file: one JSON object per line, or one array of objects.

    The position is the line, from 1; in an array it is the item's number, from 1.

    Args:
        path: A file; read through gzip when its name ends in ``.gz``. Only a ``.json`` file may
            hold an array; such a file is read whole.

    Raises:
        DataError: When a line or item is not a JSON object, naming file and line.
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
        value = json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(
            f"not JSON: {error.msg} at column {error.colno}; "
            "expected one JSON object per line, or one array in a .json file",
            location=f"{path}:{line}",
        ) from error
    if "\\u" in text and not _is_unicode(value):
        raise DataError(
            "a \\ud800 to \\udfff without its other half is no character; mend or remove it",
            location=f"{path}:{first_line}",
        )
    return value


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
    return opener(path, "rt", encoding="utf-8-sig")


def content_digest(files: Sequence[Path], also: str = "") -> str:
    """Returns 32 hexadecimal digits that name the bytes of some files, in order.

    Args:
        files: Files; their names and folders do not count.
        also: What else decides on the rows, for example options.
    """
    whole = hashlib.sha256(also.encode())
    for path in files:
        stat = os.stat(path)
        whole.update(_file_digest(path, stat.st_size, stat.st_mtime_ns).encode())
    return whole.hexdigest()[:32]


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, modified: int) -> str:
    del size, modified  # they tell the cache that the file is another one
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
