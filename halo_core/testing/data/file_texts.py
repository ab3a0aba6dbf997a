"""Checks that a source gives the texts of its file as they are: no letters are lost or cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.data import DataSource
from halo_core.errors import error_text
from halo_core.option_fields import values_by_alias
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.data.edited_lines import Content, EditedFile, edited_files

LETTERS = (
    " \u00dcn\u00efc\u00f6d\u00e9 CASE case \u6f22\u5b57 \u2713 \U0001f42e x\u00b2 \u00bd "
    "\ufb01n \uff21 e\u0301 \u201cq\u201d \u2014\u00a0end"
)
"""A text in several scripts, with letters that a normal form of Unicode (NFC, NFKC) replaces.

It has no character that separates cells, and needs no escape.
"""

SEPARATOR = " one\u2028two end"
"""A text with a character that ends no line of JSON, but one of `str.splitlines`."""

LONG = " and so on" * 2_000 + " end"
"""The end of a long text, which is longer than the texts of most data."""

SHORTEST = 4
"""Characters of a text from which it is looked for in the file."""

FEWEST = 50
"""Largest value of an option from which it may be a number of characters."""

LINES = 3
"""Number of lines whose texts are changed."""

SHOWN = 60
"""Characters of a text that a message shows."""


@dataclass(frozen=True)
class _Found:
    """A text of a row that is in a line of the file, once.

    Attributes:
        column: The name of its place in the row.
        text: The text, as the row has it.
        number: The place of the line.
        is_alone: Whether no other line has the text, so that it is surely from here.
    """

    column: str
    text: str
    number: int
    is_alone: bool


def check_texts(source: DataSource) -> None:
    """Checks that the texts of a file are those of the rows, also long ones and in other scripts.

    A text of a row that is also in a line of the file gets a longer end there. The source must give
    the whole text, leave the row out and count it, or refuse the file.

    Args:
        source: A source whose data are available. It may name no file.

    Raises:
        AssertionError: When letters are lost, changed, or cut off. If an option is a whole number,
            which may be the longest text, a cut is advice.
    """
    with edited_files(source) as files:
        for file, content in files:
            for found in _found(source, file, content):
                _check_text(source, file, content, found)


def _found(source: DataSource, file: EditedFile, content: Content) -> Iterator[_Found]:
    """Yields texts of rows with the first line that has each, a few of each column."""
    counts: dict[str, int] = {}
    for row in content.rows:
        for column, text in _texts(json.loads(row)):
            if len(text) < SHORTEST or counts.get(column, 0) >= LINES:
                continue
            having = [number for number, line in enumerate(file.lines) if text in line]
            if not having:
                _check_letters(source, file, column, text)
            elif file.lines[having[0]].count(text) == 1:
                counts[column] = counts.get(column, 0) + 1
                yield _Found(column, text, having[0], len(having) == 1)


def _check_letters(source: DataSource, file: EditedFile, column: str, text: str) -> None:
    """Checks that a text that no line has is not one of a line with other letters."""
    changes: dict[str, Callable[[str], str]] = {"with other capital letters": str.casefold}
    if text.isascii():  # Otherwise it has its letters, and the file may have them as \u escapes.
        changes["with letters that are not ASCII"] = _only_ascii
    for how, change in changes.items():
        low = change(text)
        line = next((each for each in file.lines if low in change(each)), None)
        expect(
            line is None,
            source,
            f"{column} is {_short(text)}, and {file.name!r} has it {how}; give texts as they are, "
            "because a model learns each letter",
        )


def _only_ascii(text: str) -> str:
    return "".join(each for each in text if each.isascii())


def _check_text(source: DataSource, file: EditedFile, content: Content, found: _Found) -> None:
    is_kept = False  # Whether the row stays with letters of several scripts.
    for what, end in _ends(file.lines[found.number]):
        line = file.lines[found.number].replace(found.text, found.text + end)
        changed = file.read([*file.lines[: found.number], line, *file.lines[found.number + 1 :]])
        if changed is None:
            expect(
                end != SEPARATOR,
                source,
                f"with {what} in a line of {file.name!r}, it raised "
                f"{error_text(file.error) if file.error else 'nothing'}; expected the text: read "
                'the lines of the opened file, or split at "\\n" only',
            )
            continue
        new = [text for row in changed.rows - content.rows for _, text in _texts(json.loads(row))]
        mine = [text for text in new if text.startswith(found.text) or found.text.startswith(text)]
        # A row of other lines may be new, too, if several lines give one row.
        counted = changed.dropped > content.dropped
        given = any(end in text for text in new)
        expect(
            end != SEPARATOR or given or not (is_kept and counted),
            source,
            f"with {what} in a line of {file.name!r}, the row is dropped "
            f"({', '.join(sorted({reason for _, reason in changed.counts}))}); "
            'expected the text: read the lines of the opened file, or split at "\\n" only',
        )
        is_kept = is_kept or given
        lost = not given and bool(mine) and not counted
        # Another line may have given the row, and this text may be in a cell that is not read.
        silent = found.is_alone and not new and changed.counts == content.counts
        if not (lost or silent):
            continue
        instead = _short(max(mine, key=len)) if mine else "the text of before"
        told = (
            f"{found.column} has {what} in a line of {file.name!r} that ends with "
            f"{_short(end[-SHOWN:])}, and the row has {instead}"
        )
        if end == LONG and _may_cut(source):
            advise(source, f"{told}; is an option the number of characters of a text?")
            return
        expect(
            False,
            source,
            f"{told} without this end; give the whole text, or leave the row out and count it, "
            "because a model learns each letter, and a training cuts what is too long for it",
        )


def _ends(line: str) -> Iterator[tuple[str, str]]:
    """Yields words for the end of a text, and the end."""
    yield "letters of several scripts", LETTERS
    if line.lstrip().startswith("{"):  # In JSON, this character needs no escape.
        yield "the line separator U+2028, at which splitlines() ends a line,", SEPARATOR
    yield "a long text", LONG


def _may_cut(source: DataSource) -> bool:
    """Returns whether an option may be the largest number of characters of a text."""
    schema = type(source).model_json_schema(by_alias=True)["properties"]
    return any(
        type(value) is int and schema[name].get("maximum", FEWEST) >= FEWEST
        for name, value in values_by_alias(source).items()
    )


def _texts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the names of the places of texts in a row, and the texts."""
    for message in row.get("prompt") or ():
        yield f"the turn of the {message.get('role')}", str(message.get("content"))
    for column, value in row.items():
        if isinstance(value, str):
            yield repr(column), value
        elif column == "completions" and isinstance(value, list):
            yield from ((repr(column), each) for each in value if isinstance(each, str))


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}")


__all__ = ["check_texts"]
