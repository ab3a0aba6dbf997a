"""A loss within a loss in a spec: readers of a stage's loss see both together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from halo_core.errors import SpecErrors
from halo_core.run.plan import make_plan
from halo_core.spec.document import read_document
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import Spec, load_spec
from halo_core.workspace.layout import Workspace

Halo = Callable[..., Any]

SPEC = """\
name: wrapped
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
    loss: {use: humanline, log_epsilon_r: 0.5, loss: {use: kto, beta: 0.3, desirable_weight: 3.0}}
    reference_update: {use: copy, every: 1}
    steps: 2
    batch_size: 4
    device: cpu
reports: []
tracking: []
"""
SUM = "{use: weighted-sum, losses: [{use: dpo, beta: 0.3}, simpo], weights: [1, 0.5]}"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def loaded(path: Path, **overrides: str) -> Spec:
    return load_spec(
        path, {f"stages.align.{n.replace('__', '.')}": t for n, t in overrides.items()}
    )


def test_the_wrapped_losss_feedback_reference_point_and_options_are_the_stages(spec: Path) -> None:
    (stage,) = [stage for stage in loaded(spec).stages if stage.id == "align"]
    assert stage.data["data"].sources[0].info.feedback == "binary"
    assert stage.resolved.options["reference_point"].name == "mismatched-kl"
    tree = stage.resolved.tree()["loss"]
    assert (tree["use"], tree["log_epsilon_r"], tree["loss"]["beta"]) == ("humanline", 0.5, 0.3)
    assert stage.models["reference"] == "model"


def test_each_option_of_both_is_in_the_identity(spec: Path) -> None:
    def key(**overrides: str) -> str:
        return make_plan(loaded(spec, **overrides), Workspace(spec.parent)).stage("align").key

    keys = {key(), key(loss__log_epsilon_p="-2.0"), key(loss__loss__beta="0.4"), key(loss="kto")}
    assert len(keys) == 4
    assert key() == key(loss__log_epsilon_p="-1.0")


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        (
            {"loss__loss": "sft"},
            "stages.align.loss.loss",
            "sft does not compare the policy with a reference, so there are no ratios to clip",
        ),
        ({"loss__loss__bta": "1"}, "stages.align.loss.loss.bta", "Did you mean 'beta'?"),
        (
            {"loss__log_epsilon_p": "0.1"},
            "stages.align.loss.log_epsilon_p",
            "got 0.1; expected a number below 0",
        ),
        (
            {"loss": "{use: weighted-sum, losses: [dpo, kto], weights: [1, 1]}"},
            "stages.align.loss.losses",
            "dpo has 'paired' and kto 'binary'; expected one kind of feedback",
        ),
        (
            {"loss": "{use: weighted-sum, losses: [dpo, ipo], weights: [1]}"},
            "stages.align.loss.weights",
            "1 weights for 2 losses; expected as many",
        ),
        (
            {"loss": "{use: weighted-sum, losses: [dpo, {use: kt0}], weights: [1, 1]}"},
            "stages.align.loss.losses.1.use",
            "no loss named 'kt0'. Did you mean 'kto'?",
        ),
        (
            {"loss": "{use: humanline, loss: {use: humanline, loss: orpo}}"},
            "stages.align.loss.loss.loss",
            "orpo does not compare the policy with a reference",
        ),
        ({"loss": "humanline"}, "stages.align.loss", "'loss' is missing: The loss that is wrapped"),
    ],
)
def test_a_mistake_within_is_found_at_its_place(
    spec: Path, changes: dict[str, str], place: str, message: str
) -> None:
    with pytest.raises(SpecErrors) as caught:
        loaded(spec, **changes)
    told = [f"{error.location}: {error.message}" for error in caught.value.errors]
    assert any(place in text and message in text for text in told), told


def test_the_schema_knows_losses_within_losses(spec: Path) -> None:
    schema = Draft202012Validator(spec_schema())
    tree = read_document(spec).tree
    assert not list(schema.iter_errors(tree))
    tree["stages"]["align"]["loss"]["loss"]["bta"] = 1
    assert list(schema.iter_errors(tree))


def test_a_run_trains_is_recorded_and_warns_once(halo: Halo, spec: Path) -> None:
    pytest.importorskip("torch")
    changes = [
        "--set",
        f"stages.sum={{use: train, data: train, loss: {SUM}, steps: 1, device: cpu}}",
    ]
    done = halo("run", str(spec), *changes, "--json")
    assert done.code == 0, done.err
    folder = Path(done.json["folder"])
    record = json.loads((folder / "run.json").read_text())
    assert [stage["loss"] for stage in record["stages"]][1:] == [
        "humanline(kto)",
        "weighted-sum(dpo, simpo)",
    ]
    named = {(c["kind"], c["name"]) for c in record["components"]}
    assert {("loss", "humanline"), ("loss", "kto"), ("loss", "simpo")} <= named
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    told = [e["message"] for e in events if e["type"] == "warning" and "lambda_D" in e["message"]]
    assert len(told) == 1
    assert told[0].startswith("align: ")
    metrics = {s["id"]: s["metrics"] for s in done.json["stages"]}
    assert metrics["sum"]["loss-0_loss"] > 0
    # The reference is copied before each step, so it equals the policy: no token is out of bounds.
    assert metrics["align"]["rewards_desirable"] == 0
