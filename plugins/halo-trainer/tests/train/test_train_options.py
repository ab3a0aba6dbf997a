from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, ValidationError

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.spec.spec import load_spec
from halo_methods.components import DPO, KTO, SFT, Copy, Dispreferred, Zero
from halo_trainer.train.optimizers import OPTIMIZERS
from halo_trainer.train.options import Train


def mistakes(loss: Loss | None = None, **options: Any) -> dict[str, str]:
    return dict(Train(data="d", loss=loss or SFT(), **options).mistakes())


def test_the_defaults_hold_no_mistake() -> None:
    assert mistakes() == mistakes(DPO()) == mistakes(KTO()) == {}


def test_the_module_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'accelerate']));"
        "import halo_trainer.train.options"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        ({"epochs": 1, "steps": 2}, "steps", "epochs and steps are both given"),
        ({"steps": 2, "warmup_steps": 3}, "warmup_steps", "3 is more than the 2 steps"),
        ({"max_length": 8, "max_prompt_length": 8}, "max_prompt_length", "leaves no room"),
        ({"reference_point": Zero()}, "reference_point", "uses no reference point"),
        ({"reference": "sft"}, "reference", "uses no reference model"),
        ({"export": "best"}, "export", "there is no evaluation to find the best step"),
        (
            {"export": "best", "evaluate": {"t": "t"}},
            "export",
            "only the last step is measured; set evaluate_every",
        ),
        (
            {"export": "best", "evaluate": {"t": "t"}, "evaluate_every": 2, "keep_best": 0},
            "keep_best",
            "keeps no checkpoint to export",
        ),
        ({"keep_best": 2}, "keep_best", "there is no evaluation to find the best step"),
        ({"evaluate_every": 5}, "evaluate_every", "nothing to evaluate on"),
        (
            {"optimizer_options": {"momentun": 0.9}, "optimizer": "sgd"},
            "optimizer_options",
            "SGD has no option 'momentun'. Did you mean 'momentum'?",
        ),
    ],
)
def test_options_that_contradict_each_other_are_mistakes(
    options: dict[str, Any], option: str, message: str
) -> None:
    found = mistakes(**options)
    assert list(found) == [option]
    assert message in found[option]


def test_the_best_step_cannot_be_told_where_the_reference_changes() -> None:
    options: dict[str, Any] = {"evaluate": {"t": "t"}, "evaluate_every": 2, "export": "best"}
    assert mistakes(DPO(), **options) == {}
    found = mistakes(DPO(), reference_update=Copy(every=2), **options)
    assert "compare with different references" in found["export"]


def test_weights_of_classes_are_refused_with_a_point_from_within_pairs() -> None:
    within = {"reference_point": Dispreferred()}
    assert mistakes(KTO(), **within) == {}
    assert mistakes(KTO(undesirable_weight=1.5)) == {}
    found = mistakes(KTO(undesirable_weight=1.5), **within)
    assert found["loss"].startswith("undesirable_weight has no effect on what is learned with a")


class Wants(Loss):
    """Needs an input that does not exist."""

    feedback: ClassVar[Feedback] = "scored"
    needs: ClassVar[tuple[Any, ...]] = ("telepathy", "reference_point")

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError


def test_a_loss_that_cannot_be_served_is_a_mistake() -> None:
    found = [message for _, message in Train(data="d", loss=Wants()).mistakes()]
    assert any("'telepathy', which train cannot compute" in message for message in found)
    assert any("has no default" in message for message in found)


class Ranked(Wants):
    """Needs scores and a sample of the reference, on feedback that is an option."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Any, ...]] = ("scores", "reference_samples")

    kind_of_rows: Feedback = Field(default="binary", description="The feedback.")

    def resolved_feedback(self) -> Feedback:
        return self.kind_of_rows

    def control_tokens(self) -> tuple[str, str]:
        return ("<|a|>", "<|b|>")


def test_what_a_loss_cannot_have_with_or_without_groups_is_a_mistake() -> None:
    (found,) = (m for _, m in Train(data="d", loss=Ranked()).mistakes() if "scores" in m)
    assert found == "needs 'scores', which binary feedback does not have"
    groups = [m for _, m in Train(data="d", loss=Ranked(kind_of_rows="scored")).mistakes()]
    assert "needs a sample of the reference, which has no score within a group" in groups
    assert "puts a control token after each prompt, but a group shares one prompt" in groups


def test_a_misspelt_optimizer_is_named_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"no optimizer named 'adamv'. Did you mean 'adam"):
        Train(data="d", loss=SFT(), optimizer="adamv")


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"schedule": "cosin"},
        {"dropout": 1.0},
        {"keep_last": -1},
        {"bach_size": 3},
        {"precision": "float16"},
        {"max_grad_norm": 0.0},
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Train(data="d", loss=SFT(), **options)


def test_from_is_spelt_as_in_a_spec() -> None:
    stage = Train.build('{"from": "sft", "data": "d", "loss": "L"}', {"L": SFT()})
    assert stage.from_ == "sft"


def test_the_loss_decides_the_feedback_of_all_data() -> None:
    kto = Train(data="d", loss=KTO(), evaluate={"test": "t"})
    assert kto.feedback_wanted() == {"data": "binary", "evaluate": "binary"}


TWO_STAGES = """\
name: two
seed: 1
model: {hub: someone/small}
data:
  d: {use: toy, feedback: paired, size: 10}
stages:
  first: {use: train, data: d, loss: sft, reference_point: null}
  second: {use: train, data: d, loss: LOSS, MORE}
"""


@pytest.mark.parametrize(
    ("loss", "more", "models", "point"),
    [
        ("kto", "", {"from": "first", "reference": "first"}, "mismatched-kl"),
        ("kto", "from: model", {"from": "model", "reference": "model"}, "mismatched-kl"),
        ("kto", "reference: model", {"from": "first", "reference": "model"}, "mismatched-kl"),
        ("kto", "reference_point: zero", {"from": "first", "reference": "first"}, "zero"),
        ("kto", "reference_point: null", {"from": "first", "reference": "first"}, "mismatched-kl"),
        ("sft", "", {"from": "first"}, None),
    ],
)
def test_what_is_left_out_stands_for_what_the_stage_and_its_loss_say(
    tmp_path: Path, loss: str, more: str, models: dict[str, str], point: str | None
) -> None:
    (tmp_path / "spec.yaml").write_text(TWO_STAGES.replace("LOSS", loss).replace("MORE", more))
    _, stage = load_spec(tmp_path / "spec.yaml").stages
    assert stage.models == models
    chosen = stage.resolved.tree()["reference_point"]
    assert (chosen and chosen["use"]) == point


def test_one_process_needs_no_launcher_and_two_are_launched(tmp_path: Any) -> None:
    assert Train(data="d", loss=SFT()).command(tmp_path) is None
    command = Train(data="d", loss=SFT(), processes=2).command(tmp_path)
    assert command is not None
    assert command[:3] == [sys.executable, "-m", "halo_trainer.launch"]
    assert command[-3:] == ["-m", "halo_core.worker", str(tmp_path)]
    assert command[command.index("--processes") + 1] == "2"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_known_options_are_those_of_torch(name: str) -> None:
    import torch

    general = {"params", "lr", "weight_decay", "decoupled_weight_decay"}
    kernels = {"foreach", "fused", "capturable", "differentiable", "maximize"}
    names = set(inspect.signature(getattr(torch.optim, name)).parameters)
    assert names - general - kernels == OPTIMIZERS[name]
    assert "weight_decay" in names


def test_needs_are_those_of_the_core() -> None:
    from typing import get_args

    from halo_trainer.train.option_checks import PROVIDED

    assert set(get_args(Need)) == set(PROVIDED)
