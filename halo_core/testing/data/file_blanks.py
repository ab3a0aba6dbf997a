"""Checks that the completions of a file of JSON keep the blanks at their ends."""

from __future__ import annotations

import json
from collections.abc import Sequence

from halo_core.data import DataSource
from halo_core.testing.component import expect
from halo_core.testing.data.edited_lines import EditedFile
from halo_core.testing.data.line_cells import loaded, with_key

COMPLETIONS = ("completion", "chosen", "rejected", "text")
"""Columns of a row whose texts a model learns."""

BEFORE, AFTER = "    ", " \n"
"""Blanks at the ends of a text, as code has them."""


def check_blanks(source: DataSource, file: EditedFile, lines: Sequence[tuple[str, str]]) -> None:
    """Checks a completion that is a value of JSON, where blanks are a part of a text.

    In a cell of another file, they may belong to the form of the file.

    Args:
        source: The source.
        file: A copy of its file.
        lines: Its lines that give a row, each with its first row as JSON.

    Raises:
        AssertionError: When blanks are lost.
    """
    text, told = lines[-1]
    if not text.lstrip().startswith("{") or not told:
        return
    row, number = json.loads(told), list(file.lines).index(text)
    for column in COMPLETIONS:
        value = row.get(column)
        keys = [key for key, each in loaded(text).items() if isinstance(each, str)]
        for key in (
            key for key in keys if value and str(loaded(text)[key]).strip() == value.strip()
        ):
            whole = f"{BEFORE}{value.strip()}{AFTER}"
            line = with_key(text, key, whole)
            content = file.read([*file.lines[:number], line, *file.lines[number + 1 :]])
            given = [json.loads(each).get(column) for each in content.rows] if content else [whole]
            bare = [each for each in given if str(each).strip() == value.strip()]
            expect(
                whole in given or not bare,
                source,
                f"{key!r} of {file.name!r} is {whole!r}, and {column!r} is {bare[:1]}; give the "
                "blanks and line breaks at the ends of a completion, too, because a model learns "
                "them, as the indentation of code",
            )


__all__ = ["check_blanks"]
