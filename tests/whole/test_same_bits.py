"""The benchmark that compares two checkouts finds the smallest difference."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
Write = Callable[..., Path]


@pytest.fixture
def bits(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("same_bits")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a workspace with a run of two stages, whose folders are named by a key."""

    def workspace(key: str, tensor: Any, winner: str) -> Path:
        root = tmp_path / key
        stages = [{"id": i, "folder": f"stages/{i}-{key}"} for i in ("sft", "win")]
        folders = [root / stage["folder"] for stage in stages]
        for folder in (folders[0] / "model", folders[1], root / "runs" / "r"):
            folder.mkdir(parents=True)
        (root / "runs" / "r" / "run.json").write_text(json.dumps({"stages": stages}))
        save_file({"w": np.array(tensor, np.float32)}, folders[0] / "model" / "model.safetensors")
        (folders[1] / "verdicts.jsonl").write_text(json.dumps({"winner": winner}) + "\n")
        return root

    return workspace


def test_the_same_results_under_other_keys_are_the_same(bits: ModuleType, write: Write) -> None:
    rows = list(bits.rows(write("a", [1, 2], "A"), write("b", [1, 2], "A")))
    assert rows == [
        ("(all)", "token ids", 0, "same"),
        ("sft", "weights", 1, "same"),
        ("win", "verdicts", 1, "same"),
    ]


def test_the_least_difference_is_seen_and_named(bits: ModuleType, write: Write) -> None:
    rows = list(bits.rows(write("a", [1, 0.0], "A"), write("b", [1, -0.0], "tie")))
    assert [result for *_, result in rows] == [
        "same",
        "DIFFERS: 1 of 1; model.safetensors: w: by 0 at most",
        "DIFFERS: 1 of 1; line 1: winner",
    ]


def test_a_file_that_only_one_has_is_a_difference(bits: ModuleType, write: Write) -> None:
    old, new = write("a", [1, 2], "A"), write("b", [1, 2], "A")
    (new / "stages" / "win-b" / "verdicts.jsonl").unlink()
    assert list(bits.rows(old, new))[-1] == (
        "win",
        "verdicts",
        1,
        "DIFFERS: 1 and 0 parts, or other names",
    )
