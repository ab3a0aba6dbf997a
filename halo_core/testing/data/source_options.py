"""Advises on options of a data source that change nothing, and compares rows at close values."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.option_fields import marked, values_by_alias
from halo_core.option_markers import Execution, Location
from halo_core.testing.advice import advise
from halo_core.testing.option_values import other_values, with_option

FAR = 100
"""Largest whole number that is tried. A bound may be a million rows, or processes."""

LONG_S = 0.1
"""Seconds of a reading from which options are not tried: there would be dozens of readings."""

PAIRS = 40
"""Number of sources with other values of two options that are read for one option."""

HALVINGS = 10
"""Number of readings that look for two close values of a number with different rows."""

ROWS = 200
"""Number of rows of each split that are compared."""

Content = Callable[[DataSource], object]
"""Returns what a source gives, as something that can be compared."""


def near_values(component: Component) -> Iterator[tuple[str, Any]]:
    """Yields the values of `other_values` without large whole numbers.

    A large one is yielded if it is next to the value that the component has.

    Args:
        component: The component.
    """
    mine = values_by_alias(component)
    for alias, value in other_values(component):
        far = type(value) is int and abs(value) > FAR
        if far and not (isinstance(mine[alias], int) and abs(value - mine[alias]) <= 1):
            continue
        yield alias, value


def other_texts(source: DataSource) -> Iterator[tuple[str, str]]:
    """Yields each option that is a free text and no place, with a text that is a little longer.

    Args:
        source: The source.
    """
    schema = type(source).model_json_schema(by_alias=True)["properties"]
    places = marked(type(source), Location)
    for alias, value in values_by_alias(source).items():
        part = schema.get(alias, {})
        if isinstance(value, str) and part.get("type") == "string" and alias not in places:
            if not {"enum", "const", "format", "pattern"} & part.keys():
                yield alias, f"{value}x"


def check_other_options(source: DataSource) -> None:
    """Advises on each option whose other values change no row and no count.

    An option may have an effect only with another value of a second one. So such an option is
    tried again with those of each other one. A source that takes more than `LONG_S` to read is
    not tried.

    Args:
        source: A source whose data are available.
    """
    begun = time.process_time()
    usual = content_of(source)
    if time.process_time() - begun > LONG_S:
        return
    execution = marked(type(source), Execution)
    tried: dict[str, bool] = {}
    for alias, value in near_values(source):
        if alias not in execution and not tried.get(alias):
            other = _content_with(source, alias, value)
            if other is not None:
                tried[alias] = other != usual
    if _has_untried(source, tried):
        return  # One of these may be what lets the others have an effect.
    unused = [a for a, has in tried.items() if not has and not _matters_with_another(source, a)]
    if unused:
        names = ", ".join(map(repr, unused))
        one = len(unused) == 1
        advise(
            source,
            f"no other value of {'option' if one else 'the options'} {names} "
            f"{'changes' if one else 'change'} its rows or its counts. An option without an effect "
            "makes results look like those of an experiment that nobody made; use it, or remove it",
        )


def _has_untried(source: DataSource, tried: Collection[str]) -> bool:
    """Returns whether a list, a mapping or an absent value has no other value that was tried."""
    return any(
        alias not in tried and (value is None or isinstance(value, dict | list | tuple))
        for alias, value in values_by_alias(source).items()
        if not (isinstance(value, list | tuple) and all(isinstance(v, Component) for v in value))
    )


def _matters_with_another(source: DataSource, alias: str) -> bool:
    """Returns whether an option changes something next to another value of a second option."""
    left = PAIRS
    for other_alias, value in near_values(source):
        base: Any = _made_with(source, other_alias, value) if other_alias != alias else None
        usual = _content_or_none(base) if base is not None else None
        if usual is None:
            continue
        for own_alias, own in near_values(base):
            if own_alias != alias:
                continue
            other = _content_with(base, alias, own)
            left -= 1
            if other not in (None, usual):
                return True
            if left <= 0:
                return False
    return False


def close_pair(
    source: DataSource, alias: str, other: DataSource, content: Content
) -> tuple[DataSource, DataSource] | None:
    """Returns two sources whose values of a number are close, and whose rows differ.

    Args:
        source: A source.
        alias: The name of the option. Other types of options have no values between two.
        other: The source with another value of it, and other rows.
        content: Returns the rows.
    """
    low, high = values_by_alias(source)[alias], values_by_alias(other)[alias]
    if not (isinstance(low, float) and isinstance(high, float)):
        return None
    first, second, usual = source, other, content(source)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        between = _made_with(source, alias, middle)
        if between is None:
            return None
        try:
            same = content(between) == usual
        except Exception:
            return None  # The business of other rules.
        if same:
            first, low = between, middle
        else:
            second, high = between, middle
    return first, second


def content_of(source: DataSource) -> object:
    """Returns the rows and the counts of a source, as something that can be compared.

    Args:
        source: The source.
    """
    told = []
    for split in source.inspect().splits:
        loaded = source.load(split)
        rows = [repr(dict(row)) for row in itertools.islice(loaded.rows, ROWS)]
        told.append((split, rows, dict(loaded.dropped), dict(loaded.ignored)))
    return told


def _content_with(source: DataSource, alias: str, value: Any) -> object:
    """Returns the content with another value of an option; None if there is none."""
    made = _made_with(source, alias, value)
    return None if made is None else _content_or_none(made)


def _content_or_none(source: DataSource) -> object:
    try:
        return content_of(source)
    except Exception:
        return "it raises"  # An option with which it raises has an effect.


def _made_with(source: DataSource, alias: str, value: Any) -> DataSource | None:
    try:
        made = with_option(source, alias, value)
    except Exception:
        return None  # The source refuses it, or another rule says so.
    return made if isinstance(made, DataSource) else None


__all__ = ["check_other_options", "close_pair", "content_of", "near_values", "other_texts"]
