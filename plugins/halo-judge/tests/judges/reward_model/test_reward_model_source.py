"""The source of a classifier: a folder, a stage or the hub, and its part of the identity."""

import shutil
from pathlib import Path

import pytest
from tiny_classifiers import ALL, judge, score

from halo_core.errors import UserError
from halo_core.plugins.discovery import discover
from halo_core.run.identity import component_identity, folder_digest
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.stage import ModelInput
from halo_core.testing.context import stage_context
from halo_judge.judge_stage.ask import judge_context
from halo_judge.judges.reward_model.options import RewardModel


def resolved(**options):
    document = Document("spec.yaml", Path("/"), {})
    mistakes = Mistakes(document)
    given = {"use": "reward-model", **options}
    found = Resolver(discover(), mistakes).resolve("judge", given, ("judge",))
    return found, [error.message for error in mistakes.errors]


def test_the_identity_holds_the_digest_of_the_folder_and_not_its_place(trained, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(trained, copy)
    first, _ = resolved(path=str(trained))
    second, _ = resolved(path=str(copy), batch_size=2, device="cpu", processes=2)
    assert component_identity(first) == component_identity(second)
    assert component_identity(first)["files"] == {"model": folder_digest(trained)}
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    third, _ = resolved(path=str(copy), max_length=64)
    assert component_identity(third) != component_identity(second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected exactly one of from, path and hub; got none"),
        ({"hub": "a/b", "from": "rm"}, "expected exactly one of from, path and hub; got from and"),
        ({"from": "rm", "revision": "main"}, "only a model from the hub has a revision"),
        ({"path": "/nowhere"}, "/nowhere has no config.json; expected a folder saved by"),
    ],
)
def test_a_model_that_cannot_be_one_is_told(options, message):
    _, (found,) = resolved(**options)
    assert found.startswith(message)


def test_a_stages_model_is_the_one_that_the_context_names(trained, tmp_path):
    named = RewardModel(**{"from": "rm", "device": "cpu"})
    given = ModelInput(str(trained), None, "key")
    other = ModelInput("a/b", "v1", "key")
    context = judge_context(stage_context(tmp_path, models={"judge.from": given, "from": other}))
    assert context.models == {"from": given}
    assert context.folder == tmp_path / "judge"
    assert score(named, ALL[0], models=context.models) == score(judge(trained), ALL[0])


def test_a_model_of_its_own_goes_before_those_of_the_spec():
    models = {"from": ModelInput("a/b", "v1", "key")}
    assert RewardModel(hub="c/d").model(models) == ModelInput("c/d", "main", "")
    assert RewardModel(**{"from": "rm"}).model(models) == models["from"]


def test_a_stages_model_without_a_spec_is_told():
    with pytest.raises(UserError, match="from: rm is a stage of a spec, and there is none here"):
        score(RewardModel(**{"from": "rm"}), ALL[0])
