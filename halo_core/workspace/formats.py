"""The two formats of records on disk: a JSON object, or a file with one object per line.

Both have a version. A file without one was written by an older halo and counts as version 1. A
file from a newer halo is refused, because its fields may mean something else.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from halo_core.errors import DataError, VersionError
from halo_core.workspace.files import (
    AN_OBJECT,
    CHECK,
    append_lines,
    beginning_of,
    object_check,
    parse_line,
    read_json,
    read_lines,
    write_json,
    write_lines,
)

Fields = TypeVar("Fields", bound=Mapping[str, Any])

_ABSENT = object()

LINE_VERSION, OBJECT_VERSION = "v", "schema"
"""Names of the fields for the version of a line and of an object."""


@dataclass(frozen=True)
class LineFile(Generic[Fields]):
    """A file with one JSON object per line.

    Its methods take the file's path, because such a file may be elsewhere under another name.

    Attributes:
        name: Its name in a folder of the workspace.
        fields: The fields of a line, as a TypedDict.
        mend: The advice if a line cannot be read.
        grows: Whether lines are appended while a stage runs. A killed writer may then leave a
            last line without its end, which is skipped.
        version: The version that is written, and the newest one that is read.
    """

    name: str
    fields: type[Fields]
    mend: str
    grows: bool = False
    version: int = 1

    def read(self, path: Path, *, needs: Sequence[str] = ()) -> Iterator[Fields]:
        """Yields the lines; nothing if there is no file.

        Args:
            path: The file.
            needs: Optional fields of a line that this reader needs.

        Raises:
            DataError: When a line is not such an object or lacks a field.
            VersionError: When a newer halo wrote it.
        """
        expected = f"{_with_fields((*_required(self.fields), *needs))}. {self.mend}"
        for number, tree in read_lines(path, whole=not self.grows, expected=expected):
            where = f"{path}:{number}"
            check_version(tree.get(LINE_VERSION, 1), self.version, where)
            _check_fields(tree, self.fields, needs, where, expected)
            yield cast(Fields, tree)

    def read_finished(self, path: Path, count: int | None) -> list[Fields]:
        """Returns the lines of a file that its stage has finished; none if there is no file.

        Args:
            path: The file.
            count: Number of lines that the stage wrote; None if it is not recorded.

        Raises:
            DataError: When a line (including the last one of a file that grew) is not such an
                object, or when the number of lines is not `count`.
            VersionError: When a newer halo wrote it.
        """
        lines = list(replace(self, grows=False).read(path))
        if count not in (None, len(lines)) and path.exists():
            holds = f"holds {len(lines)} line{'' if len(lines) == 1 else 's'}"
            raise DataError(
                f"{holds}; expected {count}, as its stage wrote. {self.mend}", location=str(path)
            )
        return lines

    def parse(self, line: bytes, where: str) -> Fields:
        """Returns a single line.

        Raises:
            DataError: When it is not such an object or lacks a field.
            VersionError: When a newer halo wrote it.
        """
        expected = f"{_with_fields(_required(self.fields))}. {self.mend}"
        tree = parse_line(line, where, expected)
        check_version(tree.get(LINE_VERSION, 1), self.version, where)
        _check_fields(tree, self.fields, (), where, expected)
        return cast(Fields, tree)

    def fault(self, line: Mapping[str, Any]) -> str | None:
        """Returns which value of a line has the wrong type; None if all types are right."""
        return next(_wrong(line, self.fields, ""), None)

    def append(self, path: Path, lines: Iterable[Fields]) -> None:
        """Appends whole lines.

        Raises:
            ValueError: When a number is not finite.
        """
        append_lines(path, map(self._versioned, lines))

    def write(self, path: Path, lines: Iterable[Fields]) -> None:
        """Writes the whole file under another name and renames it.

        Raises:
            ValueError: When a number is not finite.
        """
        write_lines(path, map(self._versioned, lines))

    def _versioned(self, line: Fields) -> dict[str, Any]:
        return {LINE_VERSION: self.version, **line}


@dataclass(frozen=True)
class ObjectFile(Generic[Fields]):
    """A file with one JSON object. Its methods take the folder that contains it.

    Attributes:
        name: Its name.
        fields: The fields of the object, as a TypedDict.
        mend: The advice if it cannot be read.
        version: The version that is written, and the newest one that is read.
        checks_itself: Whether the object holds a check value of itself. A file that users may
            change has none.
    """

    name: str
    fields: type[Fields]
    mend: str
    version: int = 1
    checks_itself: bool = True

    def read(self, folder: Path) -> Fields | None:
        """Returns the object, or None if there is no file.

        Raises:
            DataError: When it is not such an object or lacks a field.
            VersionError: When a newer halo wrote it.
        """
        path = folder / self.name
        # Another process may write the file at any time, so whether it exists is not asked again.
        tree = read_json(path, mend=self.mend, absent=_ABSENT)
        if tree is _ABSENT:
            return None
        expected = f"{_with_fields(_required(self.fields))}. {self.mend}"
        if not isinstance(tree, dict):
            came = beginning_of(json.dumps(tree))
            raise DataError(f"got {came!r}; expected {expected}", location=str(path))
        check_version(tree.get(OBJECT_VERSION, 1), self.version, str(path))
        self._check_value(tree, path)
        _check_fields(tree, self.fields, (), str(path), expected)
        return cast(Fields, tree)

    def _check_value(self, tree: dict[str, Any], path: Path) -> None:
        # Records of an older halo have none.
        if (given := tree.pop(CHECK, None)) is not None and given != object_check(tree):
            raise DataError(
                "is not what halo wrote: its check value is another; expected the file as it was. "
                f"Whoever changed it on purpose takes the field {CHECK!r} out. {self.mend}",
                location=str(path),
            )

    def write(self, folder: Path, fields: Fields) -> None:
        """Writes the object under another name and renames the file.

        Raises:
            ValueError: When a number is not finite.
        """
        tree = {OBJECT_VERSION: self.version, **fields}
        check = {CHECK: object_check(tree)} if self.checks_itself else {}
        write_json(folder / self.name, {**tree, **check})


def check_version(given: object, newest: int, where: str) -> None:
    """Refuses a record from a newer halo.

    Args:
        given: The record's version.
        newest: The newest version that can be read.
        where: The file and the line.

    Raises:
        VersionError: When it is not a version up to the newest one.
    """
    if not isinstance(given, int) or not 1 <= given <= newest:
        raise VersionError(
            f"is of version {given!r}, from another halo; expected at most version {newest}, the "
            "newest that this halo reads. Update halo: pip install -U halo-core",
            location=where,
        )


def _check_fields(
    tree: Mapping[str, Any], fields: Any, needs: Sequence[str], where: str, expected: str
) -> None:
    missing = [name for name in needs if name not in tree]
    missing += _missing(tree, fields, "")
    amiss = f" without {', '.join(missing)}" if missing else ""
    if not missing and (wrong := next(_wrong(tree, fields, ""), None)):
        amiss = f", where {wrong}"
    if amiss:
        came = beginning_of(json.dumps(tree, ensure_ascii=False))
        raise DataError(f"got {came!r}{amiss}; expected {expected}", location=where)


def _missing(tree: Mapping[str, Any], fields: Any, path: str) -> Iterator[str]:
    """Yields the missing fields of an object and of objects in its lists: ``cells[0].id``."""
    yield from (f"{path}{name}" for name in _required(fields) if name not in tree)
    for name, item_fields in _lists_of_records(fields):
        if isinstance(tree.get(name), list):
            for number, item in enumerate(tree[name]):
                within = item if isinstance(item, Mapping) else {}
                yield from _missing(within, item_fields, f"{path}{name}[{number}].")


def _wrong(tree: Mapping[str, Any], fields: Any, path: str) -> Iterator[str]:
    """Yields the values in an object that have the wrong type."""
    for name, hint in _hints(fields).items():
        if name in tree:
            yield from _wrong_value(tree[name], hint, f"{path}{name}")


def _wrong_value(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Yields the value if it has the wrong type, or else the wrong values inside it."""
    if not _is_of(value, hint):
        yield f"{path} is {beginning_of(repr(value))}, not {_in_words(_kinds(hint))}"
        return
    if isinstance(value, str | int | float):  # This is true for nearly all values.
        return
    arguments = _arguments(hint)
    if _is_record(hint):
        lacking = [name for name in _required(hint) if name not in value]
        yield from (f"{path}.{name} is missing" for name in lacking)
        yield from _wrong(value, hint, f"{path}.")
    elif _origin(hint) in UNIONS:
        inner = [each for each in arguments if _is_of(value, each)]
        yield from _wrong_value(value, inner[0], path)
    elif isinstance(value, list) and arguments:
        if set(map(type, value)) == {arguments[0]} and arguments[0] in (int, float, str):
            return  # This is true for nearly all long lists: the ids of tokens.
        for number, item in enumerate(value):
            yield from _wrong_value(item, arguments[0], f"{path}[{number}]")
    elif isinstance(value, dict) and arguments:
        if arguments[1] is float and all(type(item) is float for item in value.values()):
            return  # This is true for nearly all events: the points of curves.
        for key, item in value.items():
            yield from _wrong_value(item, arguments[1], f"{path}.{key}")


def _is_of(value: Any, hint: Any) -> bool:
    """Returns whether a value has a type, whatever is inside it. Booleans are not numbers."""
    kinds = _kinds(hint)
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


UNIONS = (typing.Union, types.UnionType)
_WORDS = {
    bool: "true or false",
    str: "a text",
    float: "a number",
    int: "a whole number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
"""The JSON values of a class, in words."""


def _in_words(kinds: Sequence[type]) -> str:
    """Returns classes of JSON values in words.

    >>> _in_words((float, int)), _in_words((str, type(None)))
    ('a number', 'a text or null')
    """
    # A field that takes any number takes whole ones.
    shown = [kind for kind in _WORDS if kind in kinds and not (kind is int and float in kinds)]
    return " or ".join(_WORDS[kind] for kind in shown)


@functools.cache
def _kinds(hint: Any) -> tuple[type, ...]:
    """Returns the classes of JSON values that a type allows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return (object, bool)
    if typing.is_typeddict(hint):
        return (dict,)
    if origin in UNIONS:
        return tuple(kind for each in arguments for kind in _kinds(each))
    if origin is typing.Literal:
        return tuple({type(each) for each in arguments})
    if hint is float:
        return (float, int)
    return (list if origin is Sequence else origin or hint,)


@functools.cache
def _arguments(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint)


@functools.cache
def _origin(hint: Any) -> Any:
    return typing.get_origin(hint)


@functools.cache
def _is_record(hint: Any) -> bool:
    return typing.is_typeddict(hint)


@functools.cache
def _lists_of_records(fields: Any) -> tuple[tuple[str, Any], ...]:
    """Returns the fields of a TypedDict that are lists of others, with these others."""
    lists = [(n, hint) for n, hint in _hints(fields).items() if typing.get_origin(hint) is list]
    inner = [(name, *typing.get_args(hint)) for name, hint in lists]
    return tuple((name, item) for name, item in inner if typing.is_typeddict(item))


@functools.cache
def _hints(fields: Any) -> dict[str, Any]:
    return typing.get_type_hints(fields)


@functools.cache
def _required(fields: Any) -> tuple[str, ...]:
    """Returns the required fields of a TypedDict, in their order."""
    required: frozenset[str] = fields.__required_keys__
    return tuple(name for name in fields.__annotations__ if name in required)


def _with_fields(names: Sequence[str]) -> str:
    """Returns a description of a JSON object and its fields.

    >>> _with_fields(["id", "run", "status"])
    'a JSON object with id, run and status'
    """
    if not names:
        return AN_OBJECT
    *first, last = names
    return f"{AN_OBJECT} with {', '.join(first)}{' and ' if first else ''}{last}"
