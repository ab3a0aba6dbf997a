"""Finds the differences between trees of options: the paths, and each tree's value there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halo_core.errors import UserError
from halo_core.redact import is_secret, redact
from halo_core.spec.document import parse_value

NOTHING = "none"
NAMED = 3
"""Largest number of trees with the same value that are named. For more, their number is given."""
NOT_COMPARED = ("name", "tracking", "reports")


@dataclass(frozen=True)
class Difference:
    """A path where trees differ.

    Attributes:
        path: The keys, joined with dots; "" for the whole tree.
        values: Each tree's value there as text, by label.
    """

    path: str
    values: Mapping[str, str]


def spec_differences(runs: Mapping[str, str]) -> list[Difference]:
    """Returns the differences between resolved specs, except name, trackers and reports.

    Args:
        runs: The texts of ``spec.resolved.yaml`` by label. Empty and damaged texts are skipped.
    """
    trees = {label: spec_tree(text) for label, text in runs.items()}
    return differences(
        {
            label: {key: value for key, value in tree.items() if key not in NOT_COMPARED}
            for label, tree in trees.items()
            if tree
        }
    )


def differences(trees: Mapping[str, Any]) -> list[Difference]:
    """Returns the paths where trees differ, in the order of the first tree.

    Two components with different names differ as a whole, and so do lists of different lengths. If
    only some trees have a value, or a component of one name, these trees are also compared with
    each other.

    Args:
        trees: The trees by label. None is the same as no value.

    >>> differences({"a": {"beta": 0.1, "n": 1}, "b": {"beta": 0.2, "n": 1}})
    [Difference(path='beta', values={'a': '0.1', 'b': '0.2'})]
    """
    return _differences("", trees)


def spec_tree(resolved_spec: str) -> Mapping[str, Any]:
    """Returns a resolved spec as plain values; {} without a spec.

    Args:
        resolved_spec: The text of ``spec.resolved.yaml``.
    """
    try:
        tree = parse_value(resolved_spec)
    except UserError:  # If the spec is damaged, only its options are lost.
        return {}
    return tree if isinstance(tree, Mapping) else {}


def difference_text(difference: Difference) -> str:
    """Returns a difference as one line; for two trees it is ``first -> second``.

    >>> difference_text(Difference("loss.beta", {"a": "0.1", "b": "0.2"}))
    'loss.beta: 0.1 -> 0.2'
    >>> difference_text(Difference("", {"a": "1", "b": "2", "c": "1"}))
    '1 (a, c), 2 (b)'
    """
    path = f"{difference.path}: " if difference.path else ""
    if len(difference.values) == 2:
        return path + " -> ".join(difference.values.values())
    labels: dict[str, list[str]] = {}
    for label, value in difference.values.items():
        labels.setdefault(value, []).append(label)
    return path + ", ".join(f"{value} ({_listed(names)})" for value, names in labels.items())


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= NAMED else f"{len(labels)} of them"


def _differences(path: str, trees: Mapping[str, Any]) -> list[Difference]:
    values = list(trees.values())
    if not values or is_secret(path) or all(value == values[0] for value in values[1:]):
        return []
    children = _children(values)
    if children is None:
        whole = Difference(path, {label: _text(value) for label, value in trees.items()})
        lacking = dict.fromkeys(trees, NOTHING)
        inside = [own for alike in _alike(trees) for own in _differences(path, alike)]
        return [whole, *(replace(own, values={**lacking, **own.values}) for own in inside)]
    below = []
    for key in children:
        subtrees = {label: _child(tree, key) for label, tree in trees.items()}
        below += _differences(f"{path}.{key}" if path else str(key), subtrees)
    return below


def _alike(trees: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the trees in groups that can be compared further, if not all of them can.

    If a third run lacks the value, or has another component there, the difference of the other two
    must still show.
    """
    groups: dict[str, dict[str, Any]] = {}
    for label, value in trees.items():
        if value is not None:
            kind = str(value.get("use")) if isinstance(value, Mapping) else ""
            groups.setdefault(kind, {})[label] = value
    return [group for group in groups.values() if 1 < len(group) < len(trees)]


def _children(values: Sequence[Any]) -> list[Any] | None:
    """Returns the keys to compare one by one; None to compare the values as a whole."""
    if all(isinstance(value, Mapping) for value in values):
        # The options of different components are unrelated, even if they have the same names.
        if len({value.get("use") for value in values}) > 1:
            return None
        return list(dict.fromkeys(key for value in values for key in value))
    if all(isinstance(value, list) for value in values):
        same = len({len(value) for value in values}) == 1
        return list(range(len(values[0]))) if same else None
    return None


def _child(tree: Any, key: Any) -> Any:
    return tree.get(key) if isinstance(tree, Mapping) else tree[key]


def _text(value: Any) -> str:
    """Returns a short text for a value; for a component, its name."""
    if value is None:
        return NOTHING
    if isinstance(value, Mapping):
        return str(value.get("use") or f"{{{', '.join(map(str, value))}}}")
    if isinstance(value, list):
        return f"[{', '.join(_text(element) for element in value)}]"
    return redact(str(value).lower() if isinstance(value, bool) else str(value))
