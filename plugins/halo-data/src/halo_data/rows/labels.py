"""Reads the label of a row of binary feedback in its usual spellings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_core.errors import DataError

USUAL: Mapping[str, bool] = {"true": True, "false": False, "1": True, "0": False}


def spelling(value: Any) -> str:
    """Returns a value in the form of a key of the option `labels`.

    >>> [spelling(value) for value in (True, 1.0, "up")]
    ['true', '1', 'up']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def label_of(value: Any, labels: Mapping[str, bool], column: str, place: str) -> bool:
    """Returns the meaning of a label.

    Args:
        value: The value in the row.
        labels: The meaning of each value, by `spelling` of the value; the usual ones if empty.
        column: The column's name in the data.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is none of the expected values.
    """
    written = spelling(value)
    if not isinstance(value, bool | int | float | str):
        found = None
    elif labels:
        found = labels.get(written)
    else:
        found = USUAL.get(written.lower())
    if found is None:
        usual = "true or false, 0 or 1"
        named = f"{', '.join(labels)}, which labels names" if labels else usual
        raise DataError(
            f"column {column!r} is {value!r:.60} ({type(value).__name__}); expected {named}. Say "
            "what each value means with labels, as in labels: {up: true, down: false}",
            location=place,
        )
    return found
