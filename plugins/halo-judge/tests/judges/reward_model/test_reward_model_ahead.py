"""The warnings about a classifier before anything is computed."""

import shutil

import pytest
from tiny_classifiers import judge

from halo_core.stage import Inputs, ModelInput
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.reward_model.options import RewardModel
from halo_judge.label_stage.options import Label


def told(made, tmp_path, **given):
    return list(made.check_inputs(Inputs(sketch=tmp_path / "sketch", **given)))


def test_a_classifier_without_mistakes_is_found_to_have_none(trained, tmp_path):
    assert told(judge(trained, max_length=128), tmp_path, begins=True) == []


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("*.safetensors", "there are no weights in this folder (*.safetensors)"),
        ("token*", "the tokenizer cannot be read"),
    ],
)
def test_a_classifier_that_is_not_whole_is_told_before(trained, tmp_path, left_out, said):
    folder = tmp_path / "part"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(left_out))
    ((option, message),) = told(judge(folder), tmp_path)
    assert option == "path"
    assert said in message


def test_a_language_model_and_a_label_that_it_lacks_are_told_before(causal, trained, tmp_path):
    ((option, message),) = told(judge(causal), tmp_path)
    assert option == "path"
    assert "LlamaForCausalLM is a language model and has no head that scores" in message
    ((option, message),) = told(judge(trained, label="toxic"), tmp_path)
    assert option == "label"
    assert "none is called 'toxic'; expected one of them" in message


def test_more_tokens_than_the_classifier_takes_are_told_before(trained, tmp_path):
    assert told(judge(trained, max_length=129), tmp_path) == [
        (
            "max_length",
            "129 is more than the 128 tokens that the model can take; set it to at most 128",
        )
    ]


def test_what_is_told_of_a_judge_stands_below_the_option_judge(causal, tmp_path):
    for stage in (
        JudgeStage(judge=judge(causal), of="answers"),
        Label(judge=judge(causal), of="answers", feedback="scored"),
    ):
        ((option, _),) = told(stage, tmp_path)
        assert option == "judge.path"


def test_a_classifier_that_is_still_to_be_trained_is_judged_by_what_it_starts_from(
    causal, tmp_path
):
    made = RewardModel(**{"from": "rm", "max_length": 1000})
    start = ModelInput(str(causal), None, "c")
    assert told(made, tmp_path) == []
    ((option, _),) = told(made, tmp_path, models={"from": start})
    assert option == "max_length"
