"""An axis of a matrix that lists the settings of one path. Their texts are their names.

matrix:
  beta: {stages.kto.loss.beta: [0.05, 0.1, 0.5]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.spec.document import Keys
from halo_core.spec.mistakes import Mistakes

VALUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.+-]")
_EXPONENT_ZEROS = re.compile(r"(?<=e[+-])0+")
_EXAMPLE = "as in {first: {PATH: VALUE}, second: {PATH: VALUE}}"


def lists_values(axis: Any) -> bool:
    """Returns whether an axis lists the settings of a path, and does not name its values."""
    return isinstance(axis, dict) and any(isinstance(value, list) for value in axis.values())


def value_name(value: Any) -> str | None:
    """Returns the name that a setting gives; None if it does not give one.

    Only plain values give names. In a text, ``-`` replaces each character that no name may have.

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
    return name if VALUE_NAME.fullmatch(name) else None


def values_of_path(
    axis: Mapping[str, Any], keys: Keys, mistakes: Mistakes
) -> tuple[str, dict[str, Any]] | None:
    """Returns the path of an axis, and its settings by their names.

    Args:
        axis: The axis as written, ``{PATH: [VALUE, ...]}``.
        keys: The place of the axis.
        mistakes: Collects the mistakes. After one, None is returned.
    """
    for name, value in axis.items():
        if not isinstance(value, list):
            message = (
                f"got {value!r} next to a list of values; expected only lists of values, or only "
                f"named values, {_EXAMPLE}"
            )
            mistakes.add((*keys, name), message)
            return None
    if len(axis) > 1:
        message = (
            f"lists values of {len(axis)} paths ({', '.join(axis)}); expected one. For all "
            f"combinations, write an axis for each path. To change them together, name the values, "
            f"{_EXAMPLE}"
        )
        mistakes.add(keys, message)
        return None
    ((path, values),) = axis.items()
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
            mistakes.add((*keys, i), f"{_no_name(value)}; name the values, as in {_as_in(path)}")
        elif name in named:
            message = (
                f"{_shown(named[name])} and {_shown(value)} are both named {name!r}; remove one, "
                f"or name the values, as in {_as_in(path)}"
            )
            mistakes.add((*keys, i), message)
        else:
            named[name] = value
    return named if mistakes.count == before else None


def _no_name(value: Any) -> str:
    if isinstance(value, list | dict):
        what = "a list" if isinstance(value, list) else "a mapping"
        return f"got {value!r}; {what} has no name of its own"
    return f"got {_shown(value)}; the name of a value begins with a letter or a digit"


def _shown(value: Any) -> str:
    """Returns a value as it is written in YAML."""
    return repr(value) if isinstance(value, str) else str(value_name(value) or value)


def _as_in(path: str) -> str:
    return f"first: {{{path}: VALUE}}"
