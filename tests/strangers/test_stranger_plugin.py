"""Third-party plugins, installed with pip, are found, checked, and used by `halo run`."""

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
WRAPPER = Path(__file__).with_name("stranger_wrapper")
ESTIMATOR = Path(__file__).with_name("stranger_estimator")
FLOODED = "{use: flooding/flooding, level: 1.5, loss: {use: stranger/hinge, beta: 0.2}}"

SPEC = f"""\
{(STRANGER / "spec.yaml").read_text(encoding="utf-8")}\
reports: []
tracking: []
"""
"""The spec that the guide shows, without a page and a tracker."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns a new environment with the third-party plugins, in its own folder."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    folders = map(str, (STRANGER, WRAPPER, ESTIMATOR))
    subprocess.run([*pip, "--target", str(target), *folders], check=True, timeout=280)
    path = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


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
    target = installed["PYTHONPATH"].split(os.pathsep)[0]
    assert [row["origin"] for row in found if not row["origin"].startswith(target)] == []


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
    assert stage["metrics"]["loss"] == pytest.approx(0.733, abs=0.002)  # as the guide shows
    record = json.loads((Path(done.json["folder"]) / "run.json").read_text())
    used = {c["name"]: c for c in record["components"] if c["distribution"] == "halo-stranger"}
    assert set(used) == {"stranger/hinge", "stranger/greetings"}
    assert used["stranger/hinge"]["version"] == "1.2.3"
    assert used["stranger/hinge"]["source"]


def test_a_stranger_s_wrapper_goes_around_another_stranger_s_loss(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    shown = halo("plugins", "show", "flooding/flooding", "--json", env=installed).json
    assert shown["facts"]["feedback"] == "that of the wrapped loss"
    assert [option["name"] for option in shown["options"]] == ["loss", "level"]
    done = halo("run", str(spec), "--set", f"stages.hinge.loss={FLOODED}", "--json", env=installed)
    assert done.code == 0, done.err
    # The hinge loss is 1 if the policy equals its reference, which is 0.5 below the level.
    assert done.json["stages"][-1]["metrics"]["loss_first"] == 2.0
    record = json.loads((Path(done.json["folder"]) / "run.json").read_text())
    assert record["stages"][-1]["loss"] == "flooding/flooding(stranger/hinge)"
    used = {(c["name"], c["version"]) for c in record["components"] if c["kind"] == "loss"}
    assert used == {("flooding/flooding", "0.3.0"), ("stranger/hinge", "1.2.3")}


def test_a_mistake_within_a_stranger_s_wrapper_is_found_at_its_place(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    changes = ["--set", f"stages.hinge.loss={FLOODED}", "--set", "stages.hinge.loss.loss.bta=1"]
    wrong = halo("validate", str(spec), *changes, env=installed)
    assert wrong.code == 2
    assert "stages.hinge.loss.loss.bta: unknown option 'bta'. Did you mean 'beta'?" in wrong.err


def test_a_stranger_s_reference_point_serves_a_built_in_loss(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    changes = [
        "--set",
        "stages.hinge.loss=kto",
        "--set",
        "stages.hinge.reference_point=median/median",
    ]
    done = halo("run", str(spec), *changes, "--json", env=installed)
    assert done.code == 0, done.err
    metrics = done.json["stages"][-1]["metrics"]
    assert metrics["loss_first"] == 0.5
    assert metrics["reference_point"] >= 0
    facts = halo("plugins", "show", "median/median", "--json", env=installed).json["facts"]
    assert facts == {"observes": "own"}


FAULTY = """\
from halo_core import Loss, RefPointEstimator


class Tuple(Loss):
    feedback = "paired"
    needs = ("policy_logps",)

    def __call__(self, batch):
        return -batch.chosen.policy_logps, batch.chosen.lengths


class Number(RefPointEstimator):
    observes = "own"

    def estimate(self, observed, state):
        return sum(observed.logratios)
"""


@pytest.mark.parametrize(
    ("options", "line", "message"),
    [
        ({"loss": "Tuple"}, 8, "Tuple.__call__() returned tuple; expected LossOutput(losses)"),
        (
            {"loss": "kto", "reference_point": "Number"},
            15,
            "Number.estimate() returned 0.0; expected Estimate(value)",
        ),
    ],
)
def test_what_a_file_s_component_should_not_give_back_is_told_at_its_own_line(
    options: dict[str, str],
    line: int,
    message: str,
    halo: Halo,
    installed: dict[str, str],
    spec: Path,
    tmp_path: Path,
) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    named = {k: f"file:{file}:{v}" if v[0].isupper() else v for k, v in options.items()}
    changes = [o for k, v in named.items() for o in ("--set", f"stages.hinge.{k}={v}")]
    done = halo("run", str(spec), *changes, "--json", env=installed)
    assert done.code == 3
    assert done.json["error"]["location"] == f"{file}:{line}"
    assert message in done.json["error"]["message"]
    assert "internal error" not in done.out + done.err


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize(("folder", "passed"), [(STRANGER, 2), (WRAPPER, 4), (ESTIMATOR, 3)])
def test_the_strangers_own_tests_pass(
    folder: Path, passed: int, installed: dict[str, str], warm: Any
) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = warm.run([*command, str(folder / "tests")], env={**os.environ, **installed}, timeout=280)
    assert done.returncode == 0, done.stdout
    assert f"{passed} passed" in done.stdout
