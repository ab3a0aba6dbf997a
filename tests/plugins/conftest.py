"""Fixtures of tests that install plugins, and the helpers that these tests import."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The tests import the index and the loaded site from here.
sys.path.insert(0, str(Path(__file__).parent))

ENTRY = {
    "distribution": "halo-exo",
    "version": "1.0",
    "versions": ">=1,<2",
    "summary": "A fair coin as a judge",
    "license": "MIT",
    "homepage": "",
    "index": "",
    "checked": None,
    "components": [{"kind": "judge", "name": "exo/fair", "summary": "Flips a coin."}],
}


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., str]:
    """Writes an index with one entry, and returns its file."""

    def write(**changes: Any) -> str:
        file = tmp_path / "index.json"
        index = {"schema": 1, "date": "2026-01-02", "distributions": [{**ENTRY, **changes}]}
        file.write_text(json.dumps(index))
        return str(file)

    return write


@pytest.fixture
def pip_env(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Returns variables with which pip knows one index only, and installs into a folder."""

    def env(address: str) -> dict[str, str]:
        target = tmp_path / "target"
        target.mkdir(exist_ok=True)
        return {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
            "PIP_INDEX_URL": f"{address}/simple",
            "PIP_TARGET": str(target),
            "PYTHONPATH": os.pathsep.join(
                [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }

    return env
