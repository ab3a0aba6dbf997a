"""Finds the local files of a data set that comes in parts, a folder for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.errors import DataError, PathError
from halo_core.json_objects import objects
from halo_data.local_files import split_files
from halo_data.splits import with_train


def part_files(
    path: Path, part: str | None, *, parts: Sequence[str], splits: Sequence[str], word: str
) -> Mapping[str, list[tuple[str, Path]]]:
    """Returns split to its files, each with the name of its part.

    Args:
        path: A folder of parts, the folder of one part, or one file.
        part: The part wanted; None for all that are there.
        parts: All parts there are.
        splits: The splits to look for.
        word: What a part is called, for messages.

    Raises:
        PathError: When there is no file of a split, or it is of another part than asked for.
    """
    holder = path if path.is_dir() else path.parent
    if part is not None and holder.name in parts and holder.name != part:
        raise PathError(
            f"this is the {word} {holder.name!r}, but {word} is {part!r}: leave one out",
            location=str(path),
        )
    if not path.is_dir():
        files = split_files(path).items()
        return with_train({split: [(part or holder.name, file)] for split, file in files})
    found: dict[str, list[tuple[str, Path]]] = {}
    for folder in _folders(path, part, parts):
        for split, file in split_files(folder).items():
            if split in splits:
                found.setdefault(split, []).append((folder.name, file))
    if not found:
        raise PathError(_nothing(path, part, parts, splits, word), location=str(path))
    return with_train(found)


def _folders(path: Path, part: str | None, parts: Sequence[str]) -> list[Path]:
    wanted = parts if part is None else (part,)
    found = [path / name for name in wanted if (path / name).is_dir()]
    of_parts = any((path / name).is_dir() for name in parts)
    return found if found or of_parts else [path]


def _nothing(
    path: Path, part: str | None, parts: Sequence[str], splits: Sequence[str], word: str
) -> str:
    there = [name for name in parts if (path / name).is_dir()]
    if part is not None and there:
        return f"there is no {word} {part!r} here; there is {', '.join(there)}"
    wanted = parts if part is None else (part,)
    shown = " or ".join(wanted[:4]) + (" or the like" if len(wanted) > 4 else "")
    return (
        f"neither {' nor '.join(f'{split}.jsonl(.gz)' for split in splits)}, "
        f"nor a folder {shown} with one"
    )


def first_object(path: Path) -> tuple[int, dict[str, object]]:
    """Returns position and content of the first object of a file.

    Raises:
        DataError: When it is empty.
    """
    first = next(objects(path), None)
    if first is None:
        raise DataError("the file is empty; expected at least one row", location=str(path))
    return first
