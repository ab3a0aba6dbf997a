"""Checks that a source reads a text file in all the forms that editors and programs write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from halo_core.data import DataSource
from halo_core.errors import UserError, error_text
from halo_core.testing.component import expect
from halo_core.testing.data.edited_lines import Content, EditedFile


def check_forms(source: DataSource, file: EditedFile, content: Content) -> None:
    """Checks the rows of a file with other line ends, or an empty line at its end.

    Args:
        source: The source.
        file: A copy of its file, which it can read.
        content: Its rows with this file.

    Raises:
        AssertionError: When it gives other rows, or raises an error that is not one of the user.
    """
    for what, lines, advice in _forms(file):
        changed = file.read(lines)
        if changed is None:
            raised = error_text(file.error) if file.error else "nothing"
            expect(
                isinstance(file.error, UserError),
                source,
                f"with {file.name!r} {what}, it raised {raised}; expected the same rows, or a "
                f"DataError: {advice}",
            )
            continue
        lost, new = (_plain(one) - _plain(two) for one, two in _orders(content, changed))
        expect(
            not lost and not new,
            source,
            f"with {file.name!r} {what}, {lost.total()} rows are lost, and {new.total()} are new, "
            f"such as {_short([*new, *lost])}; expected the same rows: {advice}",
        )


def _orders(one: Content, two: Content) -> Sequence[tuple[Counter[str], Counter[str]]]:
    return ((one.rows, two.rows), (two.rows, one.rows))


def _plain(rows: Counter[str]) -> Counter[str]:
    """Returns rows in which the line ends within texts are of one kind."""
    plain: Counter[str] = Counter()
    for row, count in rows.items():
        plain[row.replace("\\r\\n", "\\n")] += count
    return plain


def _forms(file: EditedFile) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yields words for a form of the file, its lines, and advice."""
    lines = list(file.lines)
    yield (
        "with the line ends of Windows",
        [f"{line[:-1]}\r\n" for line in lines],
        'open it as text with newline=None, or take off "\\r\\n"',
    )
    yield (
        "without a line end after its last line",
        [*lines[:-1], lines[-1][:-1]],
        "the last line is a line, too",
    )
    yield ("with an empty line at its end", [*lines, "\n"], "pass over empty lines")


def _short(rows: Sequence[str]) -> str:
    text = rows[0] if rows else ""
    return text if len(text) <= 100 else f"{text[:100]}..."


__all__ = ["check_forms"]
