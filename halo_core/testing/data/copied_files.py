"""Makes a data source read copies of the files that its options name."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.data import DataSource
from halo_core.testing.option_values import with_option

ROWS = 200
"""Number of rows of each split that are compared."""

BESIDE = 200
"""Number of other files in the folder of a copied one that are links next to the copy."""

Paths = Mapping[str, list[Path]]
"""The paths that options name, by the option."""

Told = Mapping[str, Any]
"""The digest of a source, and its rows."""


def source_of_copies(
    source: DataSource, paths: Paths, folder: Path, *, times: bool = False
) -> tuple[DataSource, Sequence[Path]]:
    """Returns a source that reads copies of the files, and all copied files.

    Other files in the folder of a copied one are links there, because a source may look for them.

    Args:
        source: The source.
        paths: The paths that its options name.
        folder: The folder of the copies.
        times: Whether the copies have the times of the files. Otherwise, they are new.
    """
    other: Any = source
    files: list[Path] = []
    own: dict[Path, Path] = {}
    for each in paths.values():
        for parent in (path.parent for path in each):
            if parent not in own:
                own[parent] = folder / f"{len(own)}" / parent.name
                _link(parent, own[parent])
    for option, each in paths.items():
        copies = [_copied(path, own[path.parent], times=times) for path in each]
        files += [file for copy in copies for file in (copy, *sorted(files_in(copy)))]
        value = getattr(source, _name_of(source, option))
        texts = [type(v)(c) for v, c in zip(_listed(value), copies, strict=True)]
        other = with_option(other, option, type(value)(texts) if _is_list(value) else texts[0])
    return other, [file for file in files if file.is_file()]


def _link(parent: Path, folder: Path) -> None:
    """Makes a folder with links to the files of another one."""
    folder.mkdir(parents=True)
    for each in itertools.islice(parent.iterdir(), BESIDE):
        (folder / each.name).symlink_to(each)


def _copied(path: Path, folder: Path, *, times: bool) -> Path:
    """Copies a file or folder, and the files that SQLite may have next to it."""
    copy_file = shutil.copy2 if times else shutil.copyfile
    for end in ("-wal", "-shm", ""):
        each, copy = path.with_name(f"{path.name}{end}"), folder / f"{path.name}{end}"
        if copy.is_symlink():
            copy.unlink()
        if each.is_dir():
            shutil.copytree(each, copy, copy_function=copy_file, dirs_exist_ok=True)
        elif each.exists():
            copy_file(each, copy)
    return folder / path.name


def told_of(source: DataSource) -> Told:
    """Returns the digest of a source, and some rows of each split.

    Args:
        source: The source.
    """
    info = source.inspect()
    contents = {
        split: [repr(dict(row)) for row in itertools.islice(source.load(split).rows, ROWS)]
        for split in info.splits
    }
    return {"digest": info.digest, "content": contents}


def files_in(path: Path) -> Iterator[Path]:
    """Yields the files in a folder and its folders.

    Args:
        path: The folder; a file has none.
    """
    inside = path.rglob("*") if path.is_dir() else ()
    return (each for each in inside if each.is_file())


def leave_out_a_line(files: Sequence[Path]) -> None:
    """Removes the last line of text files."""
    for file in files:
        lines = file.read_text("utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:-1]), "utf-8")


def _name_of(source: DataSource, option: str) -> str:
    fields = type(source).model_fields.items()
    return next(name for name, field in fields if option in (name, field.alias))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _listed(value: Any) -> Sequence[Any]:
    return value if _is_list(value) else [value]


__all__ = ["Paths", "Told", "files_in", "leave_out_a_line", "source_of_copies", "told_of"]
