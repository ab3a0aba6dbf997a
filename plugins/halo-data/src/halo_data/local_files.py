"""Finds the files of a data source on this machine, and hashes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from halo_core.errors import PathError
from halo_core.hashing import file_hash
from halo_core.json_objects import ENDINGS, near_names


def check_one_origin(
    path: str | None, revision: str | None, hub: str | None, usual_hub: str | None
) -> None:
    """Refuses options that name the hub beside local files.

    Args:
        path: The local files; None for the hub.
        revision: A branch, tag or commit on the hub.
        hub: The data set's id on the hub.
        usual_hub: The id when the option is left out.

    Raises:
        ValueError: When both are given.
    """
    if path is not None and (revision is not None or hub != usual_hub):
        raise ValueError("path reads local files; hub and revision have no effect: leave out")


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
        raise PathError(f"there is no such file or folder.{near_names(path)}", location=str(path))
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
    return file_hash(path)
