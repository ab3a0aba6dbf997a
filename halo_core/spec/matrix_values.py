"""An axis of a matrix that lists values of one path: its cells are named by the values.

matrix:
  beta: {stages.kto.loss.beta: [0.05, 0.1, 0.5]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.spec.document import Keys
from halo_core.spec.mistakes import Mistakes

CELL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.+-]")
_EXPONENT_ZEROS = re.compile(r"(?<=e[+-])0+")
_EXAMPLE = "as in {first: {PATH: VALUE}, second: {PATH: VALUE}}"


def lists_values(cells: Any) -> bool:
    """Returns whether an axis lists values of a path, and does not name its cells."""
    return isinstance(cells, dict) and any(isinstance(value, list) for value in cells.values())


def value_name(value: Any) -> str | None:
    """Returns the name of a value's cell; None if the value does not give one.

    Only plain values give names. In a text, characters that names do not have become ``-``.

    >>> [value_name(value) for value in (0.05, 1e-06, True, None, "meta/small", -1, [1])]
    ['0.05', '1e-6', 'true', 'null', 'meta-small', None, None]
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        name = _NOT_IN_NAMES.sub("-", value)
    elif isinstance(value, int | float):
        name = _EXPONENT_ZEROS.sub("", str(value))
    else:
        return None
    return name if CELL_NAME.fullmatch(name) else None


def cells_of_values(
    cells: Mapping[str, Any], keys: Keys, mistakes: Mistakes
) -> tuple[str, dict[str, Any]] | None:
    """Returns the path of an axis and its values by the names of their cells.

    Args:
        cells: The axis as written, ``{PATH: [VALUE, ...]}``.
        keys: The place of the axis.
        mistakes: Collects the mistakes. After one, None is returned.
    """
    for name, value in cells.items():
        if not isinstance(value, list):
            message = (
                f"got {value!r} next to a list of values; expected only lists of values, or only "
                f"named cells, {_EXAMPLE}"
            )
            mistakes.add((*keys, name), message)
            return None
    if len(cells) > 1:
        message = (
            f"lists values of {len(cells)} paths ({', '.join(cells)}); expected one. For all "
            f"combinations, write an axis for each path. To change them together, name the cells, "
            f"{_EXAMPLE}"
        )
        mistakes.add(keys, message)
        return None
    ((path, values),) = cells.items()
    named = _named(path, values, (*keys, path), mistakes)
    return None if named is None else (path, named)


def _named(
    path: str, values: Sequence[Any], keys: Keys, mistakes: Mistakes
) -> dict[str, Any] | None:
    if not values:
        mistakes.add(keys, "got an empty list; expected at least one value, as in [0.05, 0.1]")
        return None
    named: dict[str, Any] = {}
    before = mistakes.count
    for i, value in enumerate(values):
        name = value_name(value)
        if name is None:
            mistakes.add((*keys, i), f"{_no_name(value)}; name the cells, as in {_as_in(path)}")
        elif name in named:
            message = (
                f"{_shown(named[name])} and {_shown(value)} are both named {name!r}; remove one, "
                f"or name the cells, as in {_as_in(path)}"
            )
            mistakes.add((*keys, i), message)
        else:
            named[name] = value
    return named if mistakes.count == before else None


def _no_name(value: Any) -> str:
    if isinstance(value, list | dict):
        what = "a list" if isinstance(value, list) else "a mapping"
        return f"got {value!r}; {what} does not give its cell a name"
    return f"got {_shown(value)}; the name of a cell begins with a letter or a digit"


def _shown(value: Any) -> str:
    """Returns a value as it is written in YAML."""
    return repr(value) if isinstance(value, str) else str(value_name(value) or value)


def _as_in(path: str) -> str:
    return f"first: {{{path}: VALUE}}"
