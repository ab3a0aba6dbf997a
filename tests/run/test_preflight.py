"""The checks of a stage on models run before training starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Halo = Callable[..., Any]

MADE = Path(__file__).parents[1] / "made_components.py"

SPEC = f"""\
name: two
seed: 1
MODEL
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
stages:
  first: {{use: "file:{MADE}:Learn", data: train, loss: {{use: "file:{MADE}:PairLoss"}}}}
  second:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss"}}
    refuses: small
reports: []
"""
SCRATCH = """\
name: taken
seed: 1
model:
  scratch:
    data: train
    vocab_size: 300
    config: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1}
data:
  train: {use: toy, feedback: paired, size: 30}
stages:
  base: {use: train, loss: sft, data: train, steps: 1}
  told: {use: train, loss: {use: csft, good_token: "<|user|>"}, data: train, steps: 1}
reports: []
"""
HUB = "model: {hub: someone/small}"


def test_a_later_stage_refuses_the_model_before_the_first_one_runs(
    halo: Halo, spec_file: Path
) -> None:
    spec_file.write_text(SPEC.replace("MODEL", HUB))
    failed = halo("run", str(spec_file), "--json")
    assert failed.code == 2
    assert [stage["status"] for stage in failed.json["stages"]] == ["pending", "pending"]
    assert failed.json["errors"] == [
        {
            "type": "UserError",
            "message": "cannot take small",
            "location": "spec.yaml:11:5: stages.second.loss",
        }
    ]


def test_a_place_that_is_no_option_is_told_beside_the_stage(halo: Halo, spec_file: Path) -> None:
    spec_file.write_text(SPEC.replace("MODEL", HUB))
    failed = halo("run", str(spec_file), "--set", "stages.second.refuses=folder", "--json")
    (error,) = failed.json["errors"]
    assert error["location"] == "spec.yaml:8:3: stages.second: someone/small"


def test_a_check_that_breaks_is_the_plugins_fault(halo: Halo, spec_file: Path) -> None:
    spec_file.write_text(SPEC.replace("MODEL", HUB))
    failed = halo("run", str(spec_file), "--set", "stages.second.refuses=bug")
    assert failed.code == 3
    assert "Learn.preflight() raised ZeroDivisionError: a bug of a stranger" in failed.err
    assert "made_components.py:" in failed.err


def test_a_model_that_the_run_makes_is_checked_before_it_is_made(
    halo: Halo, spec_file: Path
) -> None:
    spec_file.write_text(SCRATCH)
    failed = halo("run", str(spec_file), "--json")
    assert failed.code == 2, failed.err
    assert {stage["status"] for stage in failed.json["stages"]} == {"pending"}
    (error,) = failed.json["errors"]
    assert error["location"] == "spec.yaml:12:22: stages.told.loss"
    assert "'<|user|>' already means something: it is token" in error["message"]


def test_what_only_the_model_itself_tells_is_told_as_soon_as_it_is_there(
    halo: Halo, spec_file: Path
) -> None:
    told = f"""told:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss"}}
    refuses: model
reports"""
    text = SCRATCH.partition("  told:")[0] + f"  {told}: []\n"
    spec_file.write_text(text)
    failed = halo("run", str(spec_file), "--json")
    assert failed.code == 2, failed.err
    statuses = {stage["id"]: stage["status"] for stage in failed.json["stages"]}
    assert statuses == {"model": "computed", "base": "pending", "told": "pending"}
    assert failed.json["errors"][0]["message"] == "cannot take model"


def test_a_stage_in_the_store_is_not_asked_again(halo: Halo, spec_file: Path) -> None:
    spec_file.write_text(SPEC.replace("MODEL", HUB))
    assert halo("run", str(spec_file), "--set", "stages.second.refuses=large").code == 0
    again = halo("run", str(spec_file), "--set", "stages.second.refuses=large", "--json")
    assert [stage["status"] for stage in again.json["stages"]] == ["cached", "cached"]
