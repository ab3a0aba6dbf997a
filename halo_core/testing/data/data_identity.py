"""Checks that a source's digest follows its options, and describes it for another process."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.errors import UserError
from halo_core.option_fields import marked, values_by_alias
from halo_core.option_markers import Execution
from halo_core.plugins.local_file import import_file
from halo_core.testing.component import as_spec, expect, must_not_raise
from halo_core.testing.data.source_options import close_pair, near_values, other_texts
from halo_core.testing.option_values import with_option

VALUES = 40
"""Number of other values of options that are tried."""


def check_digest(source: DataSource, *, rows: int = 50) -> None:
    """Checks that other options that change the rows change the digest, too.

    An option that is marked with `Execution` must change neither. Values with which the source
    cannot be made, or finds no data, are passed over. So are large whole numbers; see
    `near_values`. If a number changes the rows, two close values with different rows are looked
    for, because a digest may contain a rounded number.

    Args:
        source: A source whose data are available.
        rows: Number of rows of each split that are compared, at least 1.

    Raises:
        AssertionError: When the rows change and the digest does not, or an option changes rows
            although it is marked as one that changes no results.
    """
    with must_not_raise(source, "inspect() and load()"):
        digest, content = source.inspect().digest, content_of_splits(source, rows)
    execution = marked(type(source), Execution)
    numbers: set[str] = set()
    for alias, value in itertools.islice(near_values(source), VALUES):
        try:
            other = with_option(source, alias, value)
            assert isinstance(other, DataSource)
            changed = content_of_splits(other, rows) != content
            other_digest = other.inspect().digest
        except (ValidationError, UserError):
            continue
        except Exception as error:
            raise AssertionError(
                f"{source!r}: with {alias}={value!r}, reading it raised {type(error).__name__}: "
                f"{error}; expected rows, or an error of the user (halo_core.DataError)"
            ) from error
        expect(
            not changed or alias not in execution,
            source,
            f"{alias}={value!r} gives other rows, although the option is marked with Execution, "
            "and so changes no results",
        )
        _check_told_apart(source, f"{alias}={value!r}", changed, digest, other_digest)
        if changed and alias not in numbers and digest is not None:
            numbers.add(alias)
            _check_close(source, alias, other, rows)
    for alias, text in other_texts(source):
        try:
            other = with_option(source, alias, text)
            assert isinstance(other, DataSource)
            changed, other_digest = (
                content_of_splits(other, rows) != content,
                other.inspect().digest,
            )
        except Exception:
            continue  # The text may have to name something, such as a column.
        _check_told_apart(source, f"{alias}={text!r}", changed, digest, other_digest)


def _check_told_apart(
    source: DataSource, said: str, changed: bool, digest: str | None, other: str | None
) -> None:
    expect(
        not changed or digest is None or other != digest,
        source,
        f"{said} gives other rows with the same digest, {digest!r}; put the option into the "
        "digest, which changes exactly when the rows change",
    )


def _check_close(source: DataSource, alias: str, other: DataSource, rows: int) -> None:
    """Checks that the digest has all digits of a number."""
    pair = close_pair(source, alias, other, lambda each: content_of_splits(each, rows))
    if pair is None:
        return
    one, two = pair
    expect(
        one.inspect().digest != two.inspect().digest,
        source,
        f"{alias}={values_by_alias(one)[alias]!r} and {values_by_alias(two)[alias]!r} give other "
        f"rows with the same digest, {one.inspect().digest!r}; write all digits of the number into "
        f"the digest: {{self.{alias}!r}}",
    )


def content_of_splits(source: DataSource, rows: int) -> Mapping[str, str]:
    """Returns some rows of each split as texts.

    Args:
        source: The source.
        rows: Number of rows of each split, at least 1.
    """
    return {
        split: repr([_plain(row) for row in itertools.islice(source.load(split).rows, rows)])
        for split in source.inspect().splits
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((str(name), _plain(each)) for name, each in value.items())
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def described(component: Component) -> Mapping[str, Any]:
    """Returns how to make a component in another process: its class, its file and its options."""
    cls = type(component)
    options, held = as_spec(component)
    return {
        "module": cls.__module__,
        "class": cls.__qualname__,
        "file": inspect.getfile(cls),
        "options": options,
        "held": {key: described(each) for key, each in held.items()},
    }


def made(description: Mapping[str, Any]) -> Component:
    """Returns the component that `described` describes."""
    found: Any = _module(description["module"], description["file"])
    for name in description["class"].split("."):
        found = getattr(found, name)
    held = {key: made(each) for key, each in description["held"].items()}
    component = found.build(json.dumps(description["options"]), held)
    assert isinstance(component, Component)
    return component


def _module(name: str, file: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:  # It is a file of a user.
        if error.name is None or not name.startswith(error.name):
            raise
    return import_file(Path(file))


__all__ = ["check_digest", "content_of_splits", "described", "made"]
