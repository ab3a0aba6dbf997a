"""Specs are written as ruamel.yaml writes them, and each value is decided once."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from halo_core.run import yaml_text
from halo_core.run.yaml_text import to_yaml

RUAMEL = yaml_text._by_ruamel
SHARED = ["a"]
WORDS = st.sampled_from(
    ["a", "yes", "1e3", "~", "", "a: b", "x #y", "'", "\n", "\u2028", "é", "- a"]
)
LONG = st.sampled_from(["/data/" + "x" * 70, "word " * 20, "k" * 130])
TEXTS = st.lists(WORDS | LONG, max_size=3).map("".join)
LEAVES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats()
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, TREES, min_size=1, max_size=4))
@settings(max_examples=60)
def test_a_tree_is_written_as_ruamel_writes_it(tree: dict[str, Any]) -> None:
    assert to_yaml(tree) == RUAMEL(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        [],
        "a",
        {"a": [], "b": {}, "c": [[]], "d": [[1, [2, {"e": 3, "f": []}]], {}]},
        {"a": 1, "b": 1.0, "c": True, "d": 0.0, "e": -0.0, "f": "1", "g": "true", "h": None},
        {"a": SHARED, "b": SHARED},
        {"a": SHARED, "b": {"c": [SHARED]}},
        {2: "a", None: "b", True: "c"},
        {"a": "x" * 77, "b": "x" * 78, "cc": "x" * 77, "d": ["x" * 78, "x" * 79, "x" * 90]},
        {"a": "'" + "x" * 75, "b": "'" + "x" * 76, "c": ["'" + "x" * 90]},
        {"a": {"b": {"c": "/" + "x" * 90, "d": ["/" + "x" * 90]}}},
    ],
)
def test_what_is_special_is_written_as_ruamel_writes_it(tree: Any) -> None:
    assert to_yaml(tree) == RUAMEL(tree)


def test_a_spec_is_written_without_ruamel_once_its_values_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = {"stages": {"sft": {"use": "train", "data": [{"use": "toy", "noise": 0.1}]}}, "seed": 1}
    before = to_yaml(tree)
    monkeypatch.setattr(yaml_text, "_by_ruamel", None)
    assert to_yaml(tree) == before


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(Exception, match="cannot represent an object"):
        to_yaml({"a": object()})
