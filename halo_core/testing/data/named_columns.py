"""Compares the names of columns with their use by a source: exchanged texts and labels."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.data import DataSource
from halo_core.testing.component import expect
from halo_core.testing.data.edited_lines import EditedFile
from halo_core.testing.data.line_cells import cells_of, listed, with_cell, with_key

LEAST = 3
"""Number of lines that must all have the same exchange."""

QUESTION = re.compile(r"^(question|prompt|query|instruction|user|asked)", re.IGNORECASE)
ANSWER = re.compile(r"answer|response|reply|completion|output|assistant", re.IGNORECASE)
BETTER = re.compile(r"(chosen|better|best|preferred|winn|good|accepted)", re.IGNORECASE)
WORSE = re.compile(r"(rejected|worse|worst|dispreferred|los(er|ing)|bad)", re.IGNORECASE)
LIKED = re.compile(r"^(up|likes?|thumbs.?up|stars?|ratings?|up.?votes?)$", re.IGNORECASE)
DISLIKED = re.compile(r"^(down|dislikes?|thumbs.?down|down.?votes?)$", re.IGNORECASE)
RATED = re.compile(r"star|rating|score|grade", re.IGNORECASE)

Line = tuple[str, str]
"""A line of the file, and its first row as JSON."""


def check_columns(source: DataSource, file: EditedFile, lines: Sequence[Line]) -> None:
    """Checks that no two columns are exchanged, as far as their names say what is in them.

    The names are the keys of JSON, those of a header, or those that the documentation of the class
    or of an option lists, as in "TSV file: question, better answer, worse answer".

    Args:
        source: The source.
        file: A copy of its file.
        lines: Its lines that give a row, with the row.

    Raises:
        AssertionError: When all rows have a question from a column of answers, prefer the text of a
            column of worse answers, when a completion with more likes becomes undesirable, or a
            rating that is null gives a label.
    """
    told = [(named_cells(source, file, text), json.loads(row)) for text, row in lines if row]
    told = [(named, row) for named, row in told if named]
    if len(told) < LEAST:
        return
    _check_texts(source, file, told)
    if all("desirable" in row for _, row in told):
        _check_numbers(source, file, lines, told)


Named = Mapping[str, Any]
"""The cells of a line by the names of their columns."""


def named_cells(source: DataSource, file: EditedFile, text: str) -> Named:
    """Returns the cells of a line by the names of their columns; none if nothing names them.

    Args:
        source: The source, whose documentation may have the names.
        file: A copy of its file.
        text: The line.
    """
    cells = cells_of(file, text)
    if isinstance(cells, Mapping):
        return {str(name): value for name, value in cells.items()}
    header = listed(file, file.lines[0])
    known = header if all(_is_name(each) for each in header) else _described(source, len(cells))
    return dict(zip(known, cells, strict=False)) if len(known) == len(cells) else {}


def _is_name(cell: str) -> bool:
    return cell.isascii() and bool(re.fullmatch(r"[A-Za-z][\w .-]{0,30}", cell))


def _described(source: DataSource, count: int) -> Sequence[str]:
    """Returns the names of all columns in the documentation; none if it lists another number."""
    cls = type(source)
    texts = [field.description or "" for field in cls.model_fields.values()]
    texts += [
        inspect.getdoc(cls) or "",
        getattr(sys.modules.get(cls.__module__), "__doc__", "") or "",
    ]
    for sentence in (part for text in texts for part in re.split(r"[.;]", text)):
        names = [each.strip() for each in sentence.partition(":")[2].split(",")]
        if len(names) == count > 1 and all(_is_name(name) for name in names):
            return names
    return []


def _check_texts(
    source: DataSource, file: EditedFile, told: Sequence[tuple[Named, Mapping[str, Any]]]
) -> None:
    sides: dict[str, list[tuple[str, str]]] = {"prompt": [], "pair": []}
    for named, row in told:
        of_text = {value: name for name, value in named.items() if isinstance(value, str) and value}
        asked = str(row["prompt"][-1]["content"]) if row.get("prompt") else ""
        answered = row.get("completion", row.get("chosen"))
        sides["prompt"].append((of_text.get(asked, ""), of_text.get(answered, "")))
        if "chosen" in row and "rejected" in row:
            pair = of_text.get(row["chosen"], ""), of_text.get(row["rejected"], "")
            sides["pair"].append(pair)
    exchanged = all(ANSWER.search(a) and QUESTION.search(b) for a, b in sides["prompt"])
    asked, answered = sides["prompt"][0]
    expect(
        not exchanged,
        source,
        f"the prompts are from the column {asked!r} of {file.name!r}, and the completions from "
        f"{answered!r}; expected the opposite. Are two columns exchanged?",
    )
    pairs = sides["pair"]
    worse = len(pairs) >= LEAST and all(WORSE.search(a) and BETTER.search(b) for a, b in pairs)
    expect(
        not worse,
        source,
        f"what is chosen is from the column {(pairs or [('', '')])[0][0]!r} of {file.name!r}, and "
        f"what is rejected from {(pairs or [('', '')])[0][1]!r}; expected the opposite. Are two "
        "columns exchanged?",
    )


def _check_numbers(
    source: DataSource,
    file: EditedFile,
    lines: Sequence[Line],
    told: Sequence[tuple[Named, Mapping[str, Any]]],
) -> None:
    """Checks the label of one line with many likes and with few, and with a rating of null."""
    columns: dict[str, list[float]] = {}
    for named, _ in told:
        for name, value in named.items():
            if (LIKED.search(name) or DISLIKED.search(name)) and _number(value) is not None:
                columns.setdefault(name, []).append(_number(value) or 0.0)
    ranges = {name: (min(each), max(each)) for name, each in columns.items()}
    if not ranges or not any(low < high for low, high in ranges.values()):
        return
    text = lines[-1][0]
    labels = []
    for liked in (True, False):
        line = text
        for name, (low, high) in ranges.items():
            value = high if bool(LIKED.search(name)) == liked else low
            line = _with(source, file, line, name, value)
        labels.append(_label(file, text, line))
    expect(
        labels != [False, True],
        source,
        f"a line of {file.name!r} with the largest {', '.join(map(repr, ranges))} that people like "
        "is undesirable, and with the smallest it is desirable; expected the opposite. Are two "
        "columns exchanged?",
    )
    for name in ranges:
        if not text.lstrip().startswith("{") or not RATED.search(name) or len({*labels}) < 2:
            continue
        label = _label(file, text, _with(source, file, text, name, None))
        expect(
            label is None,
            source,
            f"a line of {file.name!r} in which {name!r} is null has the label {label}; expected a "
            "dropped row that is counted: nobody has given a label",
        )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _with(source: DataSource, file: EditedFile, text: str, name: str, value: float | None) -> str:
    whole = int(value) if value is not None and value == int(value) else value
    cells = cells_of(file, text)
    if isinstance(cells, Mapping):
        if value is None:
            return json.dumps({**cells, name: None}, ensure_ascii=False) + "\n"
        return with_key(text, name, whole)
    place = list(named_cells(source, file, text)).index(name)
    return with_cell(text, file, place, str(whole))


def _label(file: EditedFile, text: str, line: str) -> bool | None:
    """Returns the label of a line in place of another one; None if it gives no row."""
    number = list(file.lines).index(text)
    without = file.read([*file.lines[:number], *file.lines[number + 1 :]])
    content = file.read([*file.lines[:number], line, *file.lines[number + 1 :]])
    if without is None or content is None:
        return None
    new = [json.loads(row) for row in content.rows - without.rows]
    return bool(new[0]["desirable"]) if len(new) == 1 and "desirable" in new[0] else None


__all__ = ["check_columns", "named_cells"]
