"""Files of a data set on this machine: their splits, parts and the digest of their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from halo_core.errors import DataError, PathError, did_you_mean
from halo_core.hashing import known_file_hash
from halo_core.workspace.json_files import ENDINGS, near_names, not_a_file, objects
from halo_core.workspace.user_paths import encoding_problem
from halo_data.rows.forms import Record


def check_one_origin(
    path: str | None, revision: str | None, hub: str | None, usual_hub: str | None
) -> None:
    """Rejects options for the hub together with local files.

    Args:
        path: The local files; None for the hub.
        revision: A branch, tag or commit on the hub.
        hub: The data set's id on the hub.
        usual_hub: The default id.

    Raises:
        ValueError: When both are given.
    """
    if path is not None and (revision is not None or hub != usual_hub):
        raise ValueError("path reads local files; hub and revision have no effect: leave out")


def split_files(path: Path) -> Mapping[str, Path]:
    """Returns the file of each split, for a folder of ``<split>.jsonl`` or a single file.

    A single file is the split that its name gives (see `tested_on`), else ``train``.

    Args:
        path: A ``.jsonl``, ``.jsonl.gz``, ``.json`` or ``.json.gz`` file, or a folder of them.

    Raises:
        PathError: When there is no such file or folder, or the folder has no such file.
    """
    if path.is_dir():
        return _files_of_folder(path)
    if not path.exists():
        raise PathError(f"there is no such file or folder.{near_names(path)}", location=str(path))
    if problem := not_a_file(path):
        raise PathError(problem, location=str(path))
    name = _split_name(path)
    if name is None:
        raise PathError(f"expected a file that ends in {', '.join(ENDINGS)}", location=str(path))
    return {tested_on(name) or "train": path}


def _files_of_folder(folder: Path) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    found = [path for path in sorted(folder.iterdir()) if _split_name(path) and path.is_file()]
    for path in named_in_utf8(found):
        name = str(_split_name(path))
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


def named_in_utf8(files: Sequence[Path]) -> Sequence[Path]:
    """Returns files that were found in a folder, if their names can be recorded.

    Raises:
        PathError: When the name of one is not UTF-8 text.
    """
    for file in files:
        if problem := encoding_problem(file):
            raise PathError(problem, location=str(file))
    return files


TESTED_ON = (
    *("test", "tests", "testset", "testing", "valid", "validation", "validate", "validset", "val"),
    *("valset", "dev", "devset", "development", "eval", "evals", "evalset", "evaluation"),
    *("heldout", "holdout"),
)
"""Words in the name of a split of test data."""


def tested_on(split: str) -> str | None:
    """Returns the word at the start or end of a name that marks test data, if any.

    >>> [tested_on(name) for name in ("test", "dev_feedback", "hh-Test2", "test-00000-of-00001")]
    ['test', 'dev', 'test', 'test']
    >>> [tested_on(name) for name in ("train", "latest", "contest-answers", "thumbs")]
    [None, None, None, None]
    """
    words = re.findall(r"[a-z]+", split.lower().replace("held_out", "heldout"))
    # The ending of one part of several: test-00000-of-00001.
    words = words[:-1] if words[-1:] == ["of"] else words
    return next((word for word in (*words[:1], *words[-1:]) if word in TESTED_ON), None)


def passed_over(path: Path, taken: Iterable[Path], known: Collection[str] = ()) -> tuple[str, ...]:
    """Returns the other files in a folder than those that are used, except hidden files.

    Args:
        path: The folder. A single file has no other files.
        taken: The files that are used.
        known: Names of folders that are left out on purpose.
    """
    files = set(taken)
    holders = {parent for file in files for parent in file.parents}

    def within(folder: Path) -> Iterator[str]:
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and entry in holders:
                yield from within(entry)
            elif entry not in files and entry.name not in known and entry.name[0] != ".":
                yield f"{entry.relative_to(path)}{'/' if entry.is_dir() else ''}"

    return tuple(within(path)) if path.is_dir() else ()


def _split_name(path: Path) -> str | None:
    ending = next((e for e in ENDINGS if path.name.endswith(e)), None)
    return path.name.removesuffix(ending) if ending else None


def content_digest(files: Sequence[Path], also: str = "") -> str:
    """Returns 32 hexadecimal digits that identify the bytes of some files in their order.

    Args:
        files: The files. Their names and folders have no influence.
        also: Other values that determine the rows, for example options.
    """
    whole = hashlib.sha256(also.encode())
    for path in files:
        whole.update(known_file_hash(path).encode())
    return whole.hexdigest()[:32]


def part_files(
    path: Path, part: str | None, *, parts: Sequence[str], splits: Sequence[str], word: str
) -> Mapping[str, list[tuple[str, Path]]]:
    """Returns the files of each split, each file with the name of its part.

    Args:
        path: A folder of parts, the folder of one part, or one file.
        part: The requested part; None for all existing parts.
        parts: All parts of the data set.
        splits: The splits to look for.
        word: The data set's word for a part, for messages.

    Raises:
        PathError: When there is no file of a split, or it belongs to another part.
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
    by_split: dict[str, list[tuple[str, Path]]] = {}
    for folder in _folders(path, part, parts):
        for split, file in split_files(folder).items():
            if split in splits:
                by_split.setdefault(split, []).append((folder.name, file))
    if not by_split:
        raise PathError(_nothing(path, part, parts, splits, word), location=str(path))
    return with_train(by_split)


def _folders(path: Path, part: str | None, parts: Sequence[str]) -> list[Path]:
    wanted = parts if part is None else (part,)
    folders = [path / name for name in wanted if (path / name).is_dir()]
    of_parts = any((path / name).is_dir() for name in parts)
    return folders if folders or of_parts else [path]


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


def check_first_rows(paths: Iterable[Path], check: Callable[[Record], object]) -> None:
    """Checks the first row of each file, so that a wrong file is reported before anything is read.

    Args:
        paths: The files.
        check: Function that raises if a row is not as expected.

    Raises:
        DataError: When a file is empty or cannot be read, or its row is not as expected.
    """
    for path in paths:
        first = next(objects(path), None)
        if first is None:
            raise DataError("the file has no rows; expected at least one row", location=str(path))
        number, given = first
        check(Record("first", f"{path}:{number}", given))


T = TypeVar("T")


def with_train(splits: Mapping[str, T]) -> Mapping[str, T]:
    """Returns splits. A single split is also available as ``train``.

    So a single file works whatever its name. But a file whose name marks test data is never trained
    on unless its split is named.

    >>> with_train({"thumbs": 1}), with_train({"valid": 1})
    ({'train': 1, 'thumbs': 1}, {'valid': 1})
    """
    if len(splits) != 1 or any(map(tested_on, splits)):
        return splits
    return {"train": next(iter(splits.values())), **splits}


def of_split(splits: Mapping[str, T], name: str, where: str) -> T:
    """Returns the value of a split.

    Args:
        splits: The values by split.
        name: The requested split.
        where: Name of the source of these splits, for the message.

    Raises:
        DataError: When there is no such split. The message names the existing splits.
    """
    if name in splits:
        return splits[name]
    guess = did_you_mean(name, splits)
    tested = name == "train" and all(map(tested_on, splits))
    hint = " (a split with such a name is only used for training if you name it)" if tested else ""
    raise DataError(
        f"no split {name!r}.{guess} There is: {', '.join(sorted(splits))}. "
        f"Choose with split: NAME{hint}",
        location=where,
    )
