"""The descriptions of trackers by name, checked, as plain JSON without credentials.

`halo run`, `halo sync` and `halo compare` show them. `run.json` and `suite.json` keep them under
`trackers`. The core knows and prints four keys: `label`, `url`, `ui` and `links`. All other keys
are the tracker's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from halo_core.errors import DataError, PathError
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.redact import HIDDEN, is_secret, redact
from halo_core.stop_flag import from_outside
from halo_core.tracker import Tracker
from halo_core.workspace.formats import ObjectFile
from halo_core.workspace.records import RunRecord, SuiteRecord

Description = dict[str, Any]
Record = ObjectFile[RunRecord] | ObjectFile[SuiteRecord]


def numbered(names: Iterable[str]) -> list[str]:
    """Returns the names with numbers added, so that all are different.

    >>> numbered(["a", "b", "a", "a"])
    ['a', 'b', 'a#2', 'a#3']
    """
    unique: list[str] = []
    for name in names:
        same = sum(1 for other in unique if other.rpartition("#")[0] == name or other == name)
        unique.append(f"{name}#{same + 1}" if same else name)
    return unique


def by_name(trackers: Iterable[Tracker]) -> dict[str, Tracker]:
    """Returns trackers by their names in a spec. The second one with a name is ``name#2``."""
    listed = list(trackers)
    return dict(zip(numbered(tracker.spec_name for tracker in listed), listed, strict=True))


def describe_all(
    trackers: Mapping[str, Tracker],
    call: str,
    ask: Callable[[str], object],
    failed: Callable[[str, BaseException], None],
) -> dict[str, Description]:
    """Asks each tracker for its description, and returns the descriptions by name.

    If a tracker raises an error or returns something else, only its own entry is missing.

    Args:
        trackers: The trackers by their names.
        call: The method that is called, for messages: ``describe``, ``tell_suite``.
        ask: Calls the method of the tracker with this name. An empty answer or None is left out.
        failed: Receives the name of a tracker and its error.
    """
    descriptions: dict[str, Description] = {}
    for name, tracker in trackers.items():
        try:
            with blaming(tracker, call):
                answer = ask(name)
            if answer is not None and answer != {}:
                descriptions[name] = _checked(tracker, call, answer)
        except BaseException as error:
            if from_outside(error):
                raise
            failed(name, error)
    return descriptions


def keep(file: Record, folder: Path, told: Mapping[str, Description]) -> None:
    """Adds descriptions of trackers to a record. Other trackers' entries stay.

    Args:
        file: `RUN` or `SUITE`.
        folder: The folder of the run or suite. Nothing is written if it has no such record.
        told: Descriptions by name.

    Raises:
        DataError: When the record cannot be read. It is then unchanged.
        PathError: When it cannot be written. It is then unchanged.
    """
    record: Any = file.read(folder)
    if record is None or not told:
        return
    try:
        cast(ObjectFile[Any], file).write(
            folder, {**record, "trackers": {**record.get("trackers", {}), **told}}
        )
    except OSError as error:
        raise PathError(
            f"cannot save where trackers show this: {error.strerror or error}",
            location=str(folder / file.name),
        ) from error


def kept(file: Record, folder: Path, names: Iterable[str]) -> dict[str, Description]:
    """Returns the descriptions of these trackers in the record of an earlier run."""
    try:
        record = file.read(folder)
    except DataError:
        return {}  # A damaged record is written again.
    earlier = record.get("trackers", {}) if record else {}
    return {name: earlier[name] for name in names if name in earlier}


def _checked(tracker: Tracker, call: str, answer: object) -> Description:
    """Returns an answer as JSON without credentials, with a label.

    Raises:
        PluginError: When it is not a mapping, not JSON, or one of the known keys is wrong.
    """
    if not isinstance(answer, Mapping):
        what = f"returned a {type(answer).__name__}; expected a mapping with label, url, ..."
        raise plugin_error(tracker, call, what)
    label = tracker.spec_name.rpartition(":")[2]
    description: Description = {"label": label}
    for key, value in answer.items():
        problem = _problem(key, value)
        if problem:
            raise plugin_error(tracker, call, f"returned {key!r}: {problem}")
        if value is not None:
            description[key] = _without_credentials(json.loads(json.dumps(value)), key)
    return description


def _problem(key: object, value: object) -> str | None:
    """Returns what is wrong with an entry of a description; None if it is valid."""
    if not isinstance(key, str):
        return "expected a text as the key"
    if key in ("label", "url", "ui") and value is not None and not isinstance(value, str):
        return f"a {type(value).__name__}; expected a text"
    if key == "links" and value is not None:
        texts = value.values() if isinstance(value, Mapping) else (None,)
        if not all(isinstance(text, str) for text in texts):
            return "expected a mapping from the name of a page to its address"
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return (
            f"a {type(value).__name__} that is not JSON; expected texts, numbers, lists, mappings"
        )
    return None


def _without_credentials(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_credentials(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_credentials(item, key) for item in value]
    if isinstance(value, str):
        return HIDDEN if is_secret(key) else redact(value)
    return value
