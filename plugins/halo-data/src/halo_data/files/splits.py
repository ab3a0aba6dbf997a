"""Finds the files of each split: of one file, a folder, a glob, a saved data set, or a list."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from halo_core.errors import DataError, PathError
from halo_core.workspace.json_files import near_names, not_a_file
from halo_data.files.formats import GZIPPED, READABLE, ending_of, is_json
from halo_data.files.local import named_in_utf8, tested_on, with_train
from halo_data.files.tables import SAVED_SPLITS, STATE

Splits = Mapping[str, Sequence[Path]]
"""The files of each split, in the order of their rows. A saved split is one folder."""

_PART = re.compile(r"-\d{5}-of-\d{5}$")
_ABOUT = ("dataset_info.json", "dataset_infos.json")
"""Files that describe a data set and hold none of its rows."""


def splits_of(paths: str | Sequence[str]) -> Splits:
    """Returns the files of each split.

    A glob or a list is one split, without the files whose names say that they are for testing;
    these are splits of their own (see `tested_on`).

    Args:
        paths: A file, a folder, a glob such as ``data/*.csv``, or a list of files and globs.

    Raises:
        PathError: When a file or folder does not exist, a glob matches nothing, a file is named
            twice, or the end of a file's name is unknown.
    """
    if isinstance(paths, str) and not (_is_glob(paths) and not Path(paths).exists()):
        return with_train(_of_one(Path(paths)))
    named = [paths] if isinstance(paths, str) else paths
    files = [file for each in named for file in _matches(each)]
    for file in files:
        if files.count(file) > 1:
            raise PathError("the list reads this file twice; name it once", location=str(file))
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(tested_on(_stem(file)) or "train", []).append(file)
    return by_split


def _is_glob(path: str) -> bool:
    return glob.has_magic(path)


def _matches(path: str) -> list[Path]:
    if not _is_glob(path) or Path(path).exists():
        file = Path(path)
        if file.is_dir() and not (file / STATE).is_file():
            raise PathError(
                f"is a folder; expected files in a list: write {path}/*.csv or the like",
                location=path,
            )
        return [_known(file)]
    found = [file for name in sorted(glob.glob(path, recursive=True)) if (file := Path(name))]
    files = [file for file in found if file.is_file() and ending_of(file) is not None]
    if files:
        return list(named_in_utf8(files))
    others = ", ".join(file.name for file in found[:3])
    there = f"only {others}, which end in none of {READABLE}" if others else "no file"
    raise PathError(f"the glob matches {there}; expected at least one file", location=path)


def _known(path: Path) -> Path:
    if not path.exists():
        raise PathError(f"there is no such file or folder.{near_names(path)}", location=str(path))
    if problem := not_a_file(path):
        raise PathError(problem, location=str(path))
    if not path.is_dir() and ending_of(path) is None:
        raise PathError(f"expected a file that ends in {READABLE}; {GZIPPED}", location=str(path))
    return path


def _of_one(path: Path) -> Splits:
    _known(path)
    if not path.is_dir():
        return {tested_on(_stem(path)) or "train": [path]}
    if (path / SAVED_SPLITS).is_file():
        return _saved(path)
    if (path / STATE).is_file():
        return {tested_on(path.name) or "train": [path]}
    return _of_folder(path)


def _saved(folder: Path) -> Splits:
    try:
        names = json.loads((folder / SAVED_SPLITS).read_text(encoding="utf-8"))["splits"]
        return {str(name): [_known(folder / str(name))] for name in names}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"cannot be read as the record of a saved data set: {error}; copy the folder again",
            location=str(folder / SAVED_SPLITS),
        ) from error


def _of_folder(folder: Path) -> Splits:
    files = readable_in(folder)
    if not files:
        raise PathError(_nothing_in(folder), location=str(folder))
    by_name: dict[str, Path] = {}
    for file in files:
        name = _stem(file)
        if name in by_name:
            raise PathError(
                f"{by_name[name].name} and {file.name} both hold the split {name!r}: remove one",
                location=str(folder),
            )
        by_name[name] = file
    splits: dict[str, list[Path]] = {}
    for name, file in by_name.items():
        splits.setdefault(_PART.sub("", name), []).append(file)
    if any(map(is_json, files)):
        # Before halo joined parts, each part of a split was a split. Specs may name it.
        splits |= {name: [file] for name, file in by_name.items() if _PART.search(name)}
    return splits


def readable_in(folder: Path) -> list[Path]:
    """Returns the files in a folder that hold splits, sorted by name.

    If there are JSON files, they are the only ones, because halo has always read such a folder so.
    """
    paths = [file for file in sorted(folder.iterdir()) if file.is_file() and ending_of(file)]
    found = named_in_utf8(paths)
    json_files = [file for file in found if is_json(file)]
    if any(file.name not in _ABOUT for file in json_files):
        return json_files
    return [file for file in found if file not in json_files] or json_files


def _nothing_in(folder: Path) -> str:
    said = f"the folder holds no file that ends in {READABLE}; "
    inner = [f for f in sorted(folder.iterdir()) if f.is_dir() and any(map(ending_of, _files(f)))]
    if inner:
        return f"{said}expected train.csv or the like: name the folder {inner[0]} or {folder}/*/*"
    return f"{said}expected train.jsonl, test.csv or the like ({GZIPPED})"


def _files(folder: Path) -> Iterable[Path]:
    return (file for file in folder.iterdir() if file.is_file())


def _stem(path: Path) -> str:
    return path.name.removesuffix(ending_of(path) or "")
