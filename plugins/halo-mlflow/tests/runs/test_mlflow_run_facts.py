from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from halo_core.workspace.records import RunStage
from halo_mlflow.runs.colours import next_shade, shades
from halo_mlflow.runs.run_facts import RunFacts
from halo_mlflow.store.metric_keys import curve_key, final_key, in_words
from halo_mlflow.store.names import PlainStages, plain_stages

METRICS = (Path(__file__).parents[4] / "docs/reference/metrics.md").read_text(encoding="utf-8")


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
        ("acme/warm(stranger/hinge)", "warm(hinge)-b0.1-s2"),
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


def test_runs_of_one_method_differ_in_shade_and_methods_in_hue() -> None:
    used: list[str] = []
    for _ in range(5):
        used.append(next_shade("kto", used))
    assert len(set(used)) == 5
    assert used[0] == shades("kto")[0] == "#0072B2"
    assert next_shade("kto", used[1:]) == used[0]
    assert not set(shades("kto")) & set(shades("dpo"))
    assert shades("acme/hinge") == shades("acme/hinge")


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
    assert curve_key(plain, "kto", "train/lr") == "train/learning rate"
    assert curve_key(plain, "sft", "train/lr") == "upstream.sft/train/learning rate"
    curves = ["train/loss", "train/lr", "rewards/desirable", "eval/test/policy/kl"]
    for name in ("loss", "lr", "rewards_desirable", "eval_test_policy_kl", "train/loss", "steps"):
        assert final_key(plain, "kto", "model", name, curves) is None
    assert final_key(plain, "kto", "model", "tokens", curves) == "final/tokens"
    assert final_key(plain, "sft", "model", "loss") == "upstream.sft/final/loss"
    assert final_key(plain, "label", "feedback", "n") == "upstream.label/final/rows"
    assert final_key(plain, "win", "verdicts", "win") == "answer/win rate"
    assert final_key(plain, "sft-win", "verdicts", "win") == "upstream.sft-win/win rate"


NAMES = re.findall(r"`([a-z0-9_/]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", METRICS, re.M)))


@pytest.mark.parametrize("product", ["model", "samples", "verdicts", "feedback"])
def test_the_key_of_every_metric_of_the_page_reads_as_a_title(product: str) -> None:
    plain = PlainStages(method="s", judge="s", sample="s")
    keys = [final_key(plain, "s", product, name) or in_words(name) for name in NAMES]
    assert [key for key in keys if "_" in key or key.endswith(("/n", "/lr", "/len", "/lc"))] == []
    assert len(NAMES) > 60
