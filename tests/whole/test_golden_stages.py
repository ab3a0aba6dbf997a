"""The identities of the examples' stages have not changed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "golden"
SCRIPT = FOLDER / "stages.py"
WHAT_TO_DO = (
    "The identities of stages changed, so nobody finds again what they have computed. Where that "
    "is meant: python tests/golden/stages.py --write, in a commit of its own with the reason, and "
    "a line in CHANGELOG.md. What changed:\n"
)


@pytest.fixture
def differences(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("differences")


def test_the_identities_of_the_stages_of_all_examples_are_those_that_were_kept() -> None:
    # In a separate process, because the hub's library reads its settings once, at import.
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, WHAT_TO_DO + done.stdout + done.stderr


def test_every_value_that_differs_is_a_line_with_its_place(differences: ModuleType) -> None:
    kept = {"a": {"b": 1, "gone": None}, "c": [1, 2], "same": "x"}
    now = {"a": {"b": 1.0, "new": True}, "c": [1, 3, 4], "same": "x"}
    assert differences.differences(kept, now) == [
        "a.b: 1 -> 1.0",
        "a.gone: null -> nothing",
        "a.new: nothing -> true",
        "c[1]: 2 -> 3",
        "c[2]: nothing -> 4",
    ]
