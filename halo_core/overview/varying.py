"""The options in which the runs of one spec differ."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from halo_core.overview.run_entry import RunEntry
from halo_core.overview.spec_difference import (
    NOT_COMPARED,
    Difference,
    differences,
    spec_tree,
)
from halo_core.workspace.records import RESOLVED_SPEC

SHOWN = 3
"""Number of options that a text shows."""
LONGEST = 28
"""Number of characters of a value that a text shows."""

_KEY = re.compile(r"^(?=[^\s#-])", re.MULTILINE)
"""Pattern of the places where a key of the outermost mapping begins."""


def varying(entries: Iterable[RunEntry]) -> dict[Path, Mapping[str, str]]:
    """Returns for each run the options in which the runs of its spec differ.

    For a cell of a suite, these are the axes. Of options that always have equal values, only one
    counts.

    Args:
        entries: The runs. Each is compared with those of the same spec among them.

    Returns:
        Values by the path of the option, without a leading ``stages.``, by the run's folder.
    """
    found: dict[Path, Mapping[str, str]] = {}
    alone: dict[str, list[Path]] = defaultdict(list)
    for entry in entries:
        if entry.axes:
            found[entry.folder] = dict(entry.axes)
        else:
            alone[entry.spec].append(entry.folder)
    for folders in alone.values():
        found |= _differing(folders)
    return found


def varying_text(options: Mapping[str, str]) -> str:
    """Returns options in one line.

    >>> varying_text({"kto.loss.beta": "0.1", "seed": "2"})
    'kto.loss.beta=0.1 seed=2'
    >>> varying_text({"a": "1", "b": "2", "c": "3", "d": "4"})
    'a=1 b=2 c=3 and 1 more'
    """
    texts = [f"{path}={_short(value)}" for path, value in options.items()]
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return " ".join(texts[:SHOWN]) + more


def _short(value: str) -> str:
    """Returns a value without the folders of a path, and not longer than a list has room for.

    >>> _short("file:/home/me/losses/mine.py:Mine"), _short("x" * 40)
    ('mine.py:Mine', 'xxxxxxxxxxxxxxxxxxxxxxxxx...')
    """
    is_path = value.startswith(("/", "file:"))
    name = value.rstrip("/").rpartition("/")[2] if is_path else value
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def _differing(folders: list[Path]) -> dict[Path, Mapping[str, str]]:
    trees = {str(folder): _tree(folder) for folder in folders}
    known = {folder: tree for folder, tree in trees.items() if tree}
    found: dict[Path, dict[str, str]] = {folder: {} for folder in folders}
    for path, values in _distinct(differences(known)).items():
        for folder, value in values.items():
            found[Path(folder)][path] = value
    return dict(found)


def _distinct(listed: Iterable[Difference]) -> dict[str, Mapping[str, str]]:
    """Returns values by path. Of options that are always equal, the one with the shortest path.

    The seed of a spec, for example, is also the seed of its data sources.
    """
    shortest: dict[tuple[str, ...], tuple[str, Mapping[str, str]]] = {}
    for difference in listed:
        path = difference.path.removeprefix("stages.")
        known = shortest.get(tuple(difference.values.values()))
        if known is None or len(path) < len(known[0]):
            shortest[tuple(difference.values.values())] = (path, difference.values)
    return dict(shortest.values())


def _tree(folder: Path) -> dict[str, Any]:
    """Returns the resolved spec of a run; {} if there is none."""
    try:
        text = (folder / RESOLVED_SPEC).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    tree = _parts(text)
    stages = tree.get("stages")
    return {key: value for key, value in tree.items() if key not in NOT_COMPARED} if stages else {}


def _parts(text: str) -> dict[str, Any]:
    """Returns the mapping in a text. Reads each part of the text once, as runs have many alike."""
    if "&id" in text:  # An alias in one part may mean a value in another one.
        return dict(spec_tree(text))
    tree: dict[str, Any] = {}
    for part in _KEY.split(text):
        head, _, rest = part.partition("\n")
        if head == "stages:":
            inner = "".join(line[2:] for line in rest.splitlines(keepends=True))
            tree["stages"] = {k: v for one in _KEY.split(inner) for k, v in _part(one).items()}
        else:
            tree |= _part(part)
    return tree


@lru_cache(maxsize=4096)
def _part(text: str) -> Mapping[str, Any]:
    return spec_tree(text)
