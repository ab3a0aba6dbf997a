from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halo_core.workspace.records import RunStage
from halo_mlflow.runs.run_facts import RunFacts, colour
from halo_mlflow.store.names import PlainStages, curve_key, final_key, plain_stages


def facts(fake_run: Any, **changes: Any) -> RunFacts:
    path = fake_run.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return RunFacts(fake_run.folder, fake_run.workspace)


def stage(id_: str, product: str, loss: str | None = None) -> RunStage:
    return RunStage(id=id_, use="x", folder=f"stages/{id_}", key=id_, product=product, loss=loss)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("kto", "kto-b0.1-s2"),
        ("acme/kto", "kto-b0.1-s2"),
        ("file:/home/a/my_loss.py:Hinge", "Hinge-b0.1-s2"),
        ("acme/warm(stranger/hinge)", "warm(hinge)-b0.1"),
        ("acme/a-very-long-name-of-a-loss", "a-very-long-name"),
    ],
)
def test_a_run_is_called_by_its_method_beta_and_seed(fake_run: Any, loss: str, name: str) -> None:
    stages = [stage("kto", "model", loss)]
    assert facts(fake_run, stages=stages).run_name == name


def test_beta_is_that_of_the_loss_whatever_its_option_is_called(fake_run: Any) -> None:
    path = fake_run.folder / "spec.resolved.yaml"
    path.write_text("stages: {kto: {objective: {use: acme/kto, beta: 0.3}, loss: {beta: 7}}}")
    recorded = {**stage("kto", "model", "acme/kto"), "roles": {"objective": "loss"}}
    assert facts(fake_run, stages=[recorded]).run_name == "kto-b0.3-s2"


def test_a_run_that_trains_nothing_is_called_by_its_recipe(fake_run: Any) -> None:
    stages = [stage("win", "verdicts")]
    assert facts(fake_run, stages=stages).run_name == "toy-s2"


def test_a_run_without_files_has_no_parameters(tmp_path: Path) -> None:
    empty = RunFacts(tmp_path, tmp_path)
    assert empty.parameters() == {}
    assert empty.recipe == tmp_path.name
    assert empty.tags()["halo.version"] == "unknown"


def test_a_data_sets_digest_changes_with_its_content_and_its_split(fake_run: Any) -> None:
    source = {"component": {"use": "toy"}, "digest": "a", "split": "train"}
    variants = [source, {**source, "digest": "b"}, {**source, "split": "test"}]
    sets = facts(fake_run, data={"train": variants}).data_sets()
    assert len({digest for _, digest, _ in sets}) == 3


def test_methods_have_different_colours_that_stay() -> None:
    assert len({colour(method) for method in ("kto", "dpo", "sft")}) == 3
    assert colour("acme/hinge") == colour("acme/hinge")


def test_the_last_stage_with_a_loss_is_the_method_and_not_a_generated_model() -> None:
    stages = [
        stage("model", "model"),
        stage("sft", "model", "sft"),
        stage("kto", "model", "kto"),
        stage("merged", "model"),
        stage("a", "samples"),
        stage("b", "samples"),
        stage("win", "verdicts"),
    ]
    assert plain_stages(stages) == PlainStages(method="kto", judge="win", sample="b")
    assert plain_stages([]) == PlainStages()


def test_no_curve_and_no_final_number_share_a_key() -> None:
    plain = PlainStages(method="kto", judge="win", sample="answers")
    assert curve_key(plain, "kto", "train/loss") == "train/loss"
    assert final_key(plain, "kto", "model", "train/loss") is None
    curves = ["train/loss", "rewards/desirable", "sft.train/lr"]
    for name in ("loss", "rewards_desirable", "train/loss"):
        assert final_key(plain, "kto", "model", name, curves) is None
    assert final_key(plain, "sft", "model", "lr", curves) is None
    assert final_key(plain, "kto", "model", "steps", curves) == "final/steps"
    assert final_key(plain, "kto", "model", "lr", curves) == "final/lr"
    assert final_key(plain, "sft", "model", "loss", curves) == "sft.final/loss"
    assert final_key(plain, "label", "feedback", "n") == "label.final/n"
