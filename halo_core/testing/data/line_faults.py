"""Faults of a line: empty cells, missing ones, wrong numbers, half an object of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from halo_core.testing.data.edited_lines import EditedFile
from halo_core.testing.data.line_cells import (
    cells_of,
    delimiter_of,
    listed,
    loaded,
    with_cell,
    with_key,
)

CELLS = 6
"""Number of cells or keys of a line in which a fault is tried."""

WRONG = "many"
"""A text in place of a number."""

WORDS = 3
"""Number of words from which the first one is only a part of a line."""

Counting = Literal["counted", "free", "advice"]
"""Whether a line with a fault must give rows or be counted; or may be passed over, because it may
not be meant; or may even raise another error than a `DataError`, which is then advice."""

Fault = tuple[str, Callable[[str], str], Counting]
"""Words for a fault, the function that makes it in a line, and whether the line must be counted."""


def faults(file: EditedFile, text: str, row: str) -> Iterator[Fault]:
    """Yields the faults that a line may have.

    Only for cells whose text is a part of a row, it is known that the line must be counted: others
    may say which lines are meant.

    Args:
        file: The file.
        text: A line of it.
        row: The first row of this line, as JSON.
    """
    cells = cells_of(file, text)
    if isinstance(cells, Mapping):
        yield from _of_keys(cells, row)
    elif len(cells) > 1:
        yield from _of_cells(file, cells, row)
    elif len(text.split()) >= WORDS:
        yield "with the first word only", lambda line: f"{line.split()[0]}\n", "counted"


def _of_keys(cells: Mapping[object, object], row: str) -> Iterator[Fault]:
    used = [key for key, value in cells.items() if _is_used(value, row)]
    for key in used[:CELLS]:
        yield f"with an empty {key!r}", partial(with_key, key=key, value=""), "counted"
        yield f"without {key!r}", partial(with_key, key=key, value=None), "counted"
        yield f"in which {key!r} is null", partial(_with_null, key=key), "advice"
    for key in [key for key in cells if key not in used][:CELLS]:
        yield f"without {key!r}", partial(with_key, key=key, value=None), "free"
        yield f"in which {key!r} is null", partial(_with_null, key=key), "advice"
        if type(cells[key]) in (int, float):
            yield f"in which {key!r} is a text", partial(with_key, key=key, value=WRONG), "advice"
    yield "of broken JSON", lambda text: text.rstrip()[: len(text) // 2] + "\n", "counted"


def _with_null(text: str, key: object) -> str:
    return json.dumps({**loaded(text), key: None}, ensure_ascii=False) + "\n"


def _of_cells(file: EditedFile, cells: Sequence[str], row: str) -> Iterator[Fault]:
    places = [place for place, value in enumerate(cells) if _is_used(value, row)]
    for place in places[:CELLS]:
        said = f"with an empty cell {place + 1}"
        yield said, partial(with_cell, file=file, place=place, value=""), "counted"
    if len(cells) > 2:
        yield "with the first cell only", lambda text: f"{listed(file, text)[0]}\n", "counted"
    said = "with a cell too few"
    yield said, partial(with_cell, file=file, place=len(cells) - 1, value=None), "counted"
    if len(places) > 1:
        one, other = places[-2:]
        said = "with two equal cells"
        yield (
            said,
            lambda text: with_cell(text, file, other, str(listed(file, text)[one])),
            "counted",
        )
    for place in [place for place, value in enumerate(cells) if _is_number(value)][:CELLS]:
        wrong = partial(with_cell, file=file, place=place)
        yield f"with an empty cell {place + 1}", partial(wrong, value=""), "advice"
        yield f"with a text in cell {place + 1}", partial(wrong, value=WRONG), "advice"
    for count in range(2, len(cells) - 1)[:CELLS]:
        yield f"with {count} cells only", partial(_first, file=file, count=count), "free"
    end = delimiter_of(file) + "more\n"
    yield "with a cell too many", lambda text: text.rstrip("\r\n") + end, "free"


def _first(text: str, file: EditedFile, count: int) -> str:
    return delimiter_of(file).join(text.rstrip("\r\n").split(delimiter_of(file))[:count]) + "\n"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_used(value: object, row: str) -> bool:
    return (
        isinstance(value, str)
        and len(value) > 1
        and json.dumps(value, ensure_ascii=False)[1:-1] in row
    )


__all__ = ["faults"]
