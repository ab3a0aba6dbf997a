"""A short form of the quickstart gives the stored token ids, weights, samples and verdicts."""

from __future__ import annotations

import copy
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "golden"
SCRIPT = FOLDER / "quickstart.py"
WHAT_TO_DO = (
    "The results of halo changed. Where that is meant: python tests/golden/quickstart.py --write, "
    "in a commit of its own with the reason, and a line in CHANGELOG.md. What changed:\n"
)


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])  # it adds to it
    return importlib.import_module("quickstart")


@pytest.fixture
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCRIPT.with_suffix(".json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow(seconds=60)
def test_the_short_quickstart_gives_what_was_kept() -> None:
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, WHAT_TO_DO + done.stdout + done.stderr
    if done.stdout:
        pytest.skip(done.stdout.strip())  # what was compared is equal


def test_weights_that_are_further_apart_than_the_tolerance_are_named(
    golden: ModuleType, kept: dict[str, Any]
) -> None:
    now = copy.deepcopy(kept)
    tensors = now["weights"]["kto"]
    first, second = list(tensors)[:2]
    tensors[first][1] += 2 * golden.WEIGHTS_TOLERANCE * tensors[first][0]
    tensors[second][1] += golden.WEIGHTS_TOLERANCE * tensors[second][0] / 2
    (line,), left_out = golden.compare(kept, now)
    assert line.startswith(f"weights.kto.{first}: norm and projection [")
    assert left_out == ""


@pytest.mark.parametrize("part", ["samples", "verdicts"])
def test_on_another_machine_samples_and_verdicts_are_not_compared(
    golden: ModuleType, kept: dict[str, Any], part: str
) -> None:
    now = copy.deepcopy(kept)
    stage = next(iter(now[part]))
    now[part][stage]["digest"] = "other"
    was = kept[part][stage]["digest"]
    assert golden.compare(kept, now) == ([f'{part}.{stage}.digest: "{was}" -> "other"'], "")
    now["machine"] = kept["machine"] | {"capability": "NEON"}
    was = kept["machine"]["capability"]
    assert golden.compare(kept, now) == (
        [],
        f'samples and verdicts are not compared on another machine (capability: "{was}" -> "NEON")',
    )


def test_token_ids_are_compared_on_every_machine(golden: ModuleType, kept: dict[str, Any]) -> None:
    now = copy.deepcopy(kept)
    now["machine"] = kept["machine"] | {"torch": "9.9"}
    now["token_ids"][0]["first"][0]["prompt"][0] += 1
    (line,), _ = golden.compare(kept, now)
    assert line.startswith("token_ids[0].first[0].prompt[0]: ")
