"""A plugin that was written for commit 9e8c1e9 still works without changes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.testing import check_loss

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
    subprocess.run([*pip, "--target", str(target), str(PLUGIN)], check=True, timeout=280)
    return {"PYTHONPATH": str(target)}


def test_an_old_plugin_is_loaded_and_its_components_are_built(
    halo: Halo, installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = halo("validate", "spec.yaml", env=installed)
    assert (done.code, done.err) == (0, "")
    rows = halo("plugins", "--json", env=installed).json["plugins"]
    assert {"stranger/hinge", "stranger/greetings"} <= {row["name"] for row in rows}


def test_an_old_loss_that_gives_weights_passes_the_checks(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed["PYTHONPATH"])
    # Other tests load another package of this name, and pytest looks for examples in this one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "halo_stranger"]:
        monkeypatch.delitem(sys.modules, name)
    try:
        module = importlib.import_module("halo_stranger.hinge")
        assert str(module.__file__).startswith(installed["PYTHONPATH"])
        check_loss(module.Hinge(beta=0.2))
    finally:
        for name in [name for name in sys.modules if name.startswith("halo_stranger")]:
            del sys.modules[name]
