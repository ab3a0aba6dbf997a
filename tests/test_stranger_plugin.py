"""A stranger's plugin, really installed with pip: found, checked, and used by `halo run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

STRANGER = Path(__file__).with_name("stranger")

SPEC = """\
name: manners
seed: 1
model:
  scratch:
    data: train
    vocab_size: 300
    config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
             num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 128}
data:
  train: {use: stranger/greetings, count: 6}
  test: {use: stranger/greetings, count: 2, split: test}
stages:
  hinge: {use: train, data: train, loss: {use: stranger/hinge, beta: 0.2}, batch_size: 3, steps: 2}
reports: []
tracking: []
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the environment in which halo-stranger is installed, in a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(STRANGER)], check=True, timeout=120)
    return {"PYTHONPATH": str(target)}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_a_stranger_s_plugin_is_listed_with_its_version(
    halo: Halo, installed: dict[str, str]
) -> None:
    rows = halo("plugins", "--json", env=installed).json["plugins"]
    found = [row for row in rows if row["distribution"] == "halo-stranger"]
    assert [(row["kind"], row["name"], row["version"]) for row in found] == [
        ("loss", "stranger/hinge", "1.2.3"),
        ("data", "stranger/greetings", "1.2.3"),
    ]
    assert all(row["origin"].startswith(installed["PYTHONPATH"]) for row in found)


def test_a_stranger_s_component_is_shown_with_its_citation(
    halo: Halo, installed: dict[str, str]
) -> None:
    facts = halo("plugins", "show", "stranger/hinge", "--json", env=installed).json["facts"]
    assert facts["feedback"] == "paired"
    assert facts["citation"].startswith("Zhao et al. (2023)")


def test_a_stranger_s_data_source_can_be_previewed(halo: Halo, installed: dict[str, str]) -> None:
    found = halo("data", "stranger/greetings", "--json", env=installed).json
    assert found["feedback"] == "paired"
    assert found["rows"] == 8
    assert found["dropped"] == {}


def test_a_stranger_s_options_are_checked_like_built_in_ones(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    assert halo("validate", str(spec), env=installed).code == 0
    wrong = halo("validate", str(spec), "--set", "stages.hinge.loss.bta=0.1", env=installed)
    assert wrong.code == 2
    assert "Did you mean 'beta'?" in wrong.err


def test_without_the_plugin_its_name_is_a_mistake_of_the_spec(halo: Halo, spec: Path) -> None:
    done = halo("validate", str(spec), "--json")
    assert done.code == 2
    messages = [error["message"] for error in done.json["errors"]]
    assert any("no loss named 'stranger/hinge'" in message for message in messages)
    assert any("no data source named 'stranger/greetings'" in message for message in messages)


def test_a_stranger_s_loss_and_data_train_a_model(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    done = halo("run", str(spec), "--json", env=installed)
    assert done.code == 0, done.err
    stage = done.json["stages"][-1]
    assert stage["status"] == "computed"
    assert stage["metrics"]["steps"] == 2
    assert stage["metrics"]["loss_first"] == 1.0
    record = json.loads((Path(done.json["folder"]) / "run.json").read_text())
    used = {c["name"]: c for c in record["components"] if c["distribution"] == "halo-stranger"}
    assert set(used) == {"stranger/hinge", "stranger/greetings"}
    assert used["stranger/hinge"]["version"] == "1.2.3"
    assert used["stranger/hinge"]["source"]


@pytest.mark.slow
def test_the_stranger_s_own_tests_pass(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, str(STRANGER / "tests")],
        env={**os.environ, **installed},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
