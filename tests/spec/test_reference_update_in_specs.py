"""`reference_update` in a spec: checked, planned, and in the identity only if it is set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from halo_core.run.plan import make_plan
from halo_core.spec.document import read_document
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace

Halo = Callable[..., Any]

SPEC = """\
name: following
seed: 1
model:
  scratch:
    data: train
    vocab_size: 300
    config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
             num_attention_heads: 2, max_position_embeddings: 128}
data:
  train: {use: toy, feedback: paired, size: 12}
stages:
  align:
    use: train
    data: train
    loss: dpo
    steps: 3
    batch_size: 2
    device: cpu
    log_every: 1
    reference_update: {use: copy, every: 2}
reports: []
tracking: []
"""
FAULTY = '''\
from halo_core import ReferenceUpdate


class Faulty(ReferenceUpdate):
    """Divides by zero before the third step."""

    def mix(self, step: int) -> float:
        return 1 / (3 - step) / 10
'''


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def options(spec: Path, **overrides: str) -> dict[str, Any]:
    changes = {f"stages.align.{name.replace('__', '.')}": text for name, text in overrides.items()}
    plan = make_plan(load_spec(spec, changes), Workspace(spec.parent / "w"))
    found: dict[str, Any] = plan.stage("align").identity["stage"]["options"]
    return found


def test_an_update_is_part_of_the_identity_with_its_options(spec: Path) -> None:
    found = options(spec)["reference_update"]
    assert (found["use"], found["options"]) == ("copy", {"every": 2})
    other = options(spec, reference_update__every="3")["reference_update"]
    assert other["options"] == {"every": 3}


def test_a_stage_without_one_has_the_identity_of_before_there_were_any(spec: Path) -> None:
    assert "reference_update" not in options(spec, reference_update="null")


def test_the_schema_takes_an_update_by_name_with_its_options(spec: Path) -> None:
    validator = Draft202012Validator(spec_schema())
    tree = read_document(spec).tree
    assert validator.is_valid(tree)
    tree["stages"]["align"]["reference_update"] = {"use": "ema"}
    assert not validator.is_valid(tree)
    tree["stages"]["align"]["reference_update"] = {"use": "ema", "decay": 0.9}
    assert validator.is_valid(tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reference_update={use: copy, every: 0}", "got 0; expected a number of at least 1"),
        ("reference_update=copy", "'every' is missing: Optimiser steps between copies"),
        ("reference_update={use: ema, decay: 1.0}", "got 1.0; expected a number below 1"),
        ("reference_update=emma", "no reference update named 'emma'. Did you mean 'ema'?"),
        ("loss=sft", "stages.align.reference_update: the loss uses no reference model; leave"),
        ("loss=simpo", "stages.align.reference_update: the loss uses no reference model; leave"),
    ],
)
def test_a_wrong_update_is_a_mistake_of_the_spec(
    change: str, message: str, spec: Path, halo: Halo
) -> None:
    done = halo("validate", str(spec), "--set", f"stages.align.{change}")
    assert done.code == 2
    assert message in done.err


def test_an_average_of_low_rank_factors_is_a_mistake_of_the_spec(spec: Path, halo: Halo) -> None:
    changes = ["lora={rank: 2}", "reference_update={use: ema, decay: 0.9}"]
    done = halo(
        *("validate", str(spec)), *(x for c in changes for x in ("--set", f"stages.align.{c}"))
    )
    assert done.code == 2
    assert "stages.align.reference_update: mixes weights, but low-rank factors cannot" in done.err


def test_a_faulty_update_of_a_plugin_is_found_by_validate_at_its_own_line(
    spec: Path, halo: Halo, tmp_path: Path
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    change = "stages.align.reference_update='file:./faulty.py:Faulty'"
    done = halo("validate", str(spec), "--set", change)
    assert done.code == 3
    assert f"{tmp_path}/faulty.py:8: " in done.err
    assert "Faulty.mix(3) raised ZeroDivisionError: division by zero" in done.err


def test_a_run_follows_its_policy_and_logs_the_reference_s_age(
    spec: Path, halo: Halo, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    done = halo("run", str(spec), "--json", "--workspace", str(tmp_path / "w"))
    assert done.code == 0, done.err
    log = next((tmp_path / "w" / "stages").glob("train-*/events.jsonl")).read_text()
    assert [f'"reference/age_steps": {age}' in log for age in ("0.0", "1.0", "2.0")] == [
        True,
        True,
        False,
    ]
