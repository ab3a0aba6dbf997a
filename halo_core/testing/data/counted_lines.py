"""Checks that each line of a source's file gives a row, or is counted as dropped, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_core.data import DataSource
from halo_core.errors import UserError, error_text
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.data.compared_labels import check_turns
from halo_core.testing.data.edited_lines import Content, EditedFile, edited_files
from halo_core.testing.data.file_blanks import check_blanks
from halo_core.testing.data.file_forms import check_forms
from halo_core.testing.data.line_cells import cells_of
from halo_core.testing.data.line_faults import Counting, faults
from halo_core.testing.data.named_columns import check_columns
from halo_core.testing.data.readings import check_reasons

SHARE = 0.6
"""Share of the lines that must give rows of their own, so that the others say something."""

FAULTY = 4
"""Number of lines with the same fault that are appended. Their reasons must be one."""

SHOWN = 60
"""Characters of a line that a message shows."""

COMMENTS = ("#", "//", "%", ";")
"""Beginnings of lines that are comments."""


@dataclass(frozen=True)
class _Line:
    """The rows and the counts of one line.

    Attributes:
        text: The line.
        rows: Number of its rows; -1 if other rows change without it, so that nothing is known.
        dropped: Number of dropped rows that are no longer counted without it.
        own: The first of its rows, as JSON.
    """

    text: str
    rows: int
    dropped: int
    own: str = ""


def check_lines(source: DataSource) -> None:
    """Checks that each line of a text file gives rows, or is counted as dropped.

    A copy of the file is read without each of its first lines. If most of them give rows of their
    own, then each of the others with the same form (cells, or keys of JSON) must be counted. Lines
    with a fault are appended, too: an empty cell, a cell that is missing, half a line of JSON. They
    may be refused with an error; otherwise, they give rows or are counted. Then the file is read in
    other forms (`check_forms`), and the names of its columns are compared (`check_columns`).

    Args:
        source: A source whose data are available. It may name no file.

    Raises:
        AssertionError: When a line gives nothing and is not counted, when one is counted more than
            once, when lines with the same fault have a reason each or raise something else than an
            error of the user, or when the source does not read the file.
    """
    unread: list[str] = []
    is_read = False
    with edited_files(source) as files:
        for file, content in files:
            lines = [_without(file, content, number) for number in range(len(file.lines))]
            known = [line for line in lines if line is not None]
            has_effect = len(known) < len(lines) or any(line.rows or line.dropped for line in known)
            is_read = is_read or has_effect or not content.rows
            unread += [] if has_effect else [repr(file.name)]
            usual = [line for line in known if line.rows > 0]
            if len(usual) < max(3, SHARE * len(lines)):
                continue
            for number, line in enumerate(lines, 1):
                if line is not None:
                    _check_line(source, file, number, line, usual, last=number == len(lines))
            _check_first(source, file, lines)
            _check_last(source, file, lines)
            _check_faulty(source, file, content, usual)
            check_forms(source, file, content)
            told = [(line.text, line.own) for line in usual]
            check_columns(source, file, told)
            check_turns(source, told, file.name)
            check_blanks(source, file, told)
    # One of several files may have no effect, such as a list of words that no row has.
    expect(
        is_read or not unread,
        source,
        f"no line of {', '.join(unread)} has an effect: without it, the rows are the same. Does it "
        "read another file, or keep what it has read?",
    )


def _without(file: EditedFile, content: Content, number: int) -> _Line | None:
    """Returns what a line gives; None if the source refuses the file without it."""
    without = file.read([*file.lines[:number], *file.lines[number + 1 :]])
    if without is None:
        return None
    gone, new = content.rows - without.rows, without.rows - content.rows
    text, dropped = file.lines[number], content.dropped - without.dropped
    if new or dropped < 0:
        return _Line(text, -1, dropped)
    return _Line(text, gone.total(), dropped, next(iter(gone), ""))


def _check_line(
    source: DataSource,
    file: EditedFile,
    number: int,
    line: _Line,
    usual: Sequence[_Line],
    *,
    last: bool,
) -> None:
    forms = {_form(file, each.text) for each in usual}
    form = _form(file, line.text)
    alike = form in forms and (form != PLAIN or last)
    said = f"line {number} of {file.name!r}, {_short(line.text)},"
    # The first line may be a header, but not of JSON.
    is_first = number == 1 and not isinstance(cells_of(file, line.text), Mapping)
    is_row = not is_first and bool(line.text.strip()) and not line.text.startswith(COMMENTS)
    expect(
        bool(line.rows or line.dropped) or not is_row or not alike,
        source,
        f"{said} has the form of the others, gives no row and is not counted; count what is left "
        "out in `dropped`, with a reason. Is it lost?",
    )
    expect(
        line.rows != 0 or line.dropped <= max(each.rows for each in usual),
        source,
        f"{said} gives no row and is counted {line.dropped} times; count it once. Does each split "
        "count those of all splits?",
    )


def _check_first(source: DataSource, file: EditedFile, lines: Sequence[_Line | None]) -> None:
    """Checks that no first line of JSON is left out as if it were a header."""
    first, after = lines[:2]
    if first is None or after is None or first.text == after.text:
        return
    expect(
        not first.own or first.own != after.own or not first.text.lstrip().startswith("{"),
        source,
        f"the first line of {file.name!r}, {_short(first.text)}, gives no row: without it, the row "
        "of the next line is lost. A file of JSON lines has no header",
    )


def _check_last(source: DataSource, file: EditedFile, lines: Sequence[_Line | None]) -> None:
    """Checks that a file without its last line does not lose the row of the line before it."""
    before, last = lines[-2:]
    if before is None or last is None or before.text == last.text:
        return
    expect(
        not last.own or last.own != before.own,
        source,
        f"the last line of {file.name!r}, {_short(last.text)}, gives no row: without it, the row "
        "of the line before it is lost. Is the text after the last line break left out twice?",
    )


def _check_faulty(
    source: DataSource, file: EditedFile, content: Content, usual: Sequence[_Line]
) -> None:
    """Checks lines with faults at the end of the file."""
    donors, counted = usual[-FAULTY:], []
    is_told = is_again = False
    plain = [_form(file, each.text) == PLAIN for each in donors]
    if any(plain) and not (all(plain) and len(usual) == len(file.lines)):
        return  # A row may have several lines.
    for what, spoil, counting in faults(file, donors[0].text, donors[0].own):
        spoilt = [spoil(each.text) for each in donors]
        with_faults = file.read([*file.lines, *spoilt])
        example = f"such as {_short(spoilt[0])}, at the end of {file.name!r}"
        said = f"{len(spoilt)} lines {what}, {example}"
        if with_faults is None:
            is_told = _check_refusal(source, said, file.error, counting, is_told) or is_told
            continue
        if not is_again and with_faults.dropped != content.dropped:
            _check_again(source, file, said, with_faults)
            is_again = True
        if counting != "counted":
            continue
        expect(
            with_faults != content,
            source,
            f"{said}, give no row and are not counted; count what is left out in `dropped`, with "
            "a reason, or raise a DataError",
        )
        for split in file.splits:
            check_reasons(source, split, with_faults.reasons(split))
        if with_faults.rows == content.rows:
            counted.append((said, with_faults.dropped - content.dropped))
    most = len(donors) * max(each.rows for each in usual)
    if counted and all(count > most for _, count in counted):
        said, count = counted[0]
        expect(
            False,
            source,
            f"{said}, are counted {count} times; count each once. Does each split count those of "
            "all splits?",
        )


def _check_again(source: DataSource, file: EditedFile, said: str, before: Content) -> None:
    """Checks that a second reading of the file that was read last counts the same."""
    again = file.read_again()
    expect(
        again is None or again.dropped == before.dropped,
        source,
        f"with {said}, it counts {before.dropped} dropped rows, and "
        f"{again.dropped if again else 0} when it is read again; expected the same: count in "
        "`load`, and keep no counts between calls",
    )


def _check_refusal(
    source: DataSource, said: str, error: Exception | None, counting: Counting, is_told: bool
) -> bool:
    """Checks an error of the source. It returns whether the error is only worth advice."""
    told = (
        f"with {said}, it raised {error_text(error) if error else ''}; expected a DataError that "
        "names the line, or a counted drop: this error looks like a mistake of the plugin"
    )
    expect(isinstance(error, UserError) or counting == "advice", source, told)
    if not isinstance(error, UserError) and not is_told:
        advise(source, told)
    return not isinstance(error, UserError)


PLAIN = "text"
"""The form of a line without cells and keys."""


def _form(file: EditedFile, text: str) -> object:
    """Returns what lines of the same kind have in common: their keys, or their number of cells."""
    cells = cells_of(file, text)
    if isinstance(cells, Mapping):
        return frozenset(cells)
    return PLAIN if len(cells) < 2 else len(cells)


def _short(text: str) -> str:
    shown = text.rstrip("\r\n")
    return repr(shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}...")


__all__ = ["check_lines"]
