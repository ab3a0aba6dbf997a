"""A plugin that was written for commit 9e8c1e9 still works without changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

PLUGIN = Path(__file__).parents[1] / "fixtures" / "plugin-9e8c1e9"
SPEC = """\
name: manners
model: {hub: someone/small, revision: main}
data:
  train: {use: stranger/greetings, count: 6}
stages:
  hinge: {use: train, data: train, loss: {use: stranger/hinge, beta: 0.2}, steps: 2}
reports: []
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(PLUGIN)], check=True, timeout=120)
    return {"PYTHONPATH": str(target)}


def test_an_old_plugin_is_loaded_and_its_components_are_built(
    halo: Halo, installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = halo("validate", "spec.yaml", env=installed)
    assert (done.code, done.err) == (0, "")
    rows = halo("plugins", "--json", env=installed).json["plugins"]
    assert {"stranger/hinge", "stranger/greetings"} <= {row["name"] for row in rows}


def test_an_old_loss_that_gives_weights_passes_the_checks(installed: dict[str, str]) -> None:
    code = (
        "from halo_core.testing import check_loss\n"
        "from halo_stranger.hinge import Hinge\n"
        "check_loss(Hinge(beta=0.2))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {installed['PYTHONPATH']!r})"]
    done = subprocess.run(
        [command[0], "-c", f"{command[2]}\n{code}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
