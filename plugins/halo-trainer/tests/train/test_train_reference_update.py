"""A reference that follows the policy: its weights, age, checkpoints, resuming and errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from halo_core import ModelInput
from halo_core.errors import Interrupted, ModelError, NotFiniteError, PluginError, UserError
from halo_core.events import EventLog, read_events
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext, StageResult, StopFlag
from halo_methods.components import (
    DPO,
    EMA,
    KTO,
    PPO,
    SFT,
    Copy,
    MatchedKL,
    MismatchedKL,
    RunningMean,
)
from halo_models.load import load_tokenizer
from halo_models.save import save_model_folder
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import Training, set_up

Run = Callable[..., StageResult]
Start = Callable[..., tuple[Train, StageContext]]
LOG_2 = pytest.approx(math.log(2), abs=1e-6)


def make_rows(feedback: Feedback, count: int) -> list[dict[str, Any]]:
    words = "moo quack six legs coal black green grass".split()

    def text(i: int) -> str:
        return " ".join(words[i % 8 : i % 8 + 1 + i % 3])

    def answers(i: int) -> dict[str, Any]:
        if feedback == "paired":
            return {"chosen": text(i), "rejected": text(i + 3)}
        return {"completion": text(i)} | ({"desirable": i % 3 != 1} if feedback == "binary" else {})

    return [
        {"prompt": [{"role": "user", "content": f"{text(i + 1)} {i}?"}]} | answers(i)
        for i in range(count)
    ]


@pytest.fixture
def start(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Start:
    """Returns a function that makes a stage on generated rows, and its context."""

    def make(
        loss: Loss,
        update: ReferenceUpdate | None,
        *,
        name: str = "stage",
        reference: ModelInput | None = None,
        events: type[EventLog] | None = None,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> tuple[Train, StageContext]:
        kind = loss.feedback
        data = {
            "data": make_data(kind, make_rows(kind, 10)),
            "evaluate.test": make_data(kind, make_rows(kind, 4), "test"),
        }
        models = {"from": tiny_model, "reference": reference or tiny_model}
        context = make_context(data=data, models=models, name=name, stop=stop, warnings=warnings)
        if events is not None:
            context = replace(context, events=events(context.folder / "events.jsonl"))
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        defaults = {"batch_size": 4, "steps": 5, "learning_rate": 1e-2, "log_every": 1}
        stage = Train(
            **defaults | {"device": "cpu", "evaluate": {"test": "t"}} | options,
            data="train",
            loss=loss,
            reference_update=update,
        )
        return stage, context

    return make


@pytest.fixture
def run(start: Start) -> Run:
    """Returns a function that runs a stage on generated rows."""

    def go(loss: Loss, update: ReferenceUpdate | None, **options: Any) -> StageResult:
        stage, context = start(loss, update, **options)
        assert not stage.mistakes()
        return stage.run(context)

    return go


def started(start: Start, loss: Loss, update: ReferenceUpdate | None, **options: Any) -> Training:
    stage, context = start(loss, update, **options)
    return set_up(stage.recipe(), context, Ranks("cpu"))


def curve(folder: Path, name: str) -> list[float]:
    """The values of a curve by step. A step that was written twice after a stop counts once."""
    found = {
        event["step"]: event["metrics"][name]
        for event, _ in read_events(folder / "events.jsonl")
        if event["type"] == "metrics" and name in event["metrics"]
    }
    return [found[step] for step in sorted(found)]


def model_weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def checkpoint(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("step-*"))


def check_same(one: Path, other: Path) -> None:
    expected = model_weights(other)
    for name, weight in model_weights(one).items():
        assert torch.equal(weight, expected[name]), name
    for name in ("train/loss", "reference/age_steps", "eval/test/loss"):
        assert curve(one, name) == curve(other, name)
        assert curve(one, name)


class StopAfter(StopFlag):
    """Asks to stop while a certain step is computed."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def is_set(self) -> bool:
        self.left -= 1
        return self.left == 0


class Killed(BaseException):
    """Simulates a kill: nothing in the stage catches it."""


class KilledAtStep4(EventLog):
    """Dies when step 4 is logged."""

    def append(self, type_: str, **fields: Any) -> None:
        if fields["step"] == 4:
            raise Killed
        super().append(type_, **fields)


class Halfway(ReferenceUpdate):
    """Mixes half of the policy before steps 3 and 4, and all of it before step 5."""

    def mix(self, step: int) -> float:
        return {3: 0.5, 4: 0.5, 5: 1.0}.get(step, 0.0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_a_policy_that_was_copied_before_the_step_has_log_ratios_of_exactly_zero(
    precision: str, lora: dict[str, int] | None, run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=1), precision=precision, lora=lora)
    assert curve(tmp_path / "stage", "rewards/chosen") == [0.0] * 5
    assert curve(tmp_path / "stage", "train/loss") == [LOG_2] * 5
    assert min(curve(tmp_path / "stage", "train/grad_norm")) > 0
    run(DPO(), None, name="frozen", precision=precision, lora=lora)
    assert abs(curve(tmp_path / "frozen", "rewards/chosen")[4]) > 1e-4


def test_a_copy_every_two_steps_has_log_ratios_of_zero_in_every_second_step(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=2))
    rewards = curve(tmp_path / "stage", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [True, False, True, False, True]


@pytest.mark.parametrize("estimator", [MismatchedKL(), MatchedKL(), RunningMean()], ids=repr)
def test_reference_points_see_the_refreshed_reference(
    estimator: Any, run: Run, tmp_path: Path
) -> None:
    run(KTO(), Copy(every=1), reference_point=estimator)
    assert curve(tmp_path / "stage", "policy/reference_point") == [0.0] * 5
    assert curve(tmp_path / "stage", "policy/kl") == [0.0] * 5
    run(KTO(), None, reference_point=estimator, name="frozen")
    assert curve(tmp_path / "frozen", "policy/kl")[4] != 0


@pytest.mark.parametrize(
    ("update", "ages"),
    [
        (Copy(every=1), [0, 0, 0, 0, 0]),
        (Copy(every=2), [0, 1, 0, 1, 0]),
        (Copy(every=9), [0, 1, 2, 3, 4]),
        (EMA(decay=0.5), [0, 0.5, 0.75, 0.875, 0.9375]),
        (Halfway(), [0, 1, 1, 1, 0]),
    ],
    ids=repr,
)
def test_the_age_of_the_reference_is_logged_with_the_curves(
    update: ReferenceUpdate, ages: list[float], run: Run, tmp_path: Path
) -> None:
    result = run(DPO(), update)
    assert curve(tmp_path / "stage", "reference/age_steps") == ages
    assert result.metrics["reference_age_steps"] == ages[-1]


def test_a_frozen_reference_has_no_age(run: Run, tmp_path: Path) -> None:
    result = run(DPO(), None)
    assert curve(tmp_path / "stage", "reference/age_steps") == []
    assert not any("age" in name for name in result.metrics)


def test_the_age_of_an_average_comes_near_that_of_its_policies(run: Run, tmp_path: Path) -> None:
    run(DPO(), EMA(decay=0.6), steps=25, log_every=25)
    assert curve(tmp_path / "stage", "reference/age_steps")[-1] == pytest.approx(0.6 / 0.4, 1e-4)


RESUMABLE: dict[str, tuple[Loss, ReferenceUpdate, dict[str, Any]]] = {
    "copy, dropout": (KTO(), Copy(every=3), {"dropout": 0.2}),
    "ema, dropout": (KTO(), EMA(decay=0.9), {"dropout": 0.2, "optimizer": "rmsprop"}),
    "copy, lora": (DPO(), Copy(every=3), {"lora": {"rank": 2, "dropout": 0.2}}),
    "copy, bfloat16": (DPO(), Copy(every=3), {"precision": "bfloat16"}),
    "ema, bfloat16": (DPO(), EMA(decay=0.9), {"precision": "bfloat16"}),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_stopped_training_goes_on_bit_for_bit(name: str, run: Run, tmp_path: Path) -> None:
    loss, update, options = RESUMABLE[name]
    options = options | {"steps": 6, "evaluate_every": 2}
    run(loss, update, name="whole", **options)
    with pytest.raises(Interrupted, match="step 3 of 6 is kept"):
        run(loss, update, name="cut", stop=StopAfter(3), **options)
    run(loss, update, name="cut", **options)
    check_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("update", [Copy(every=2), EMA(decay=0.9)], ids=repr)
def test_a_killed_training_goes_on_bit_for_bit(
    update: ReferenceUpdate, run: Run, tmp_path: Path
) -> None:
    options = {"steps": 6, "checkpoint_every": 3}
    run(KTO(), update, name="whole", **options)
    with pytest.raises(Killed):
        run(KTO(), update, name="cut", events=KilledAtStep4, **options)
    run(KTO(), update, name="cut", **options)
    check_same(tmp_path / "cut", tmp_path / "whole")


class FailsAtStep3(Loss):
    """Is not a number in the third step, as long as `fail` is set."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    failing: ClassVar[bool] = False
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        FailsAtStep3.calls += 1
        ratios = batch.chosen.policy_logps - batch.chosen.reference_logps
        losses = (ratios - 1) ** 2
        if FailsAtStep3.failing and FailsAtStep3.calls >= 3:
            losses = losses * torch.nan
        return LossOutput(losses, torch.ones_like(losses))


def test_a_step_that_failed_after_the_reference_was_updated_for_it_is_not_updated_for_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = EMA(decay=0.5)
    run(FailsAtStep3(), update, name="whole")
    monkeypatch.setattr(FailsAtStep3, "calls", 0)
    monkeypatch.setattr(FailsAtStep3, "failing", True)
    with pytest.raises(NotFiniteError, match="step 3"):
        run(FailsAtStep3(), update, name="cut")
    monkeypatch.setattr(FailsAtStep3, "failing", False)
    run(FailsAtStep3(), update, name="cut")
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_a_checkpoint_keeps_the_reference_of_its_step(run: Run, tmp_path: Path) -> None:
    run(DPO(), Copy(every=3), checkpoint_every=1, keep_last=9)
    folders = sorted((tmp_path / "stage" / "checkpoints").glob("step-*"))
    policies = [load_file(folder / "weights.safetensors") for folder in folders]
    references = [load_file(folder / "reference.safetensors") for folder in folders]
    # Before step 4 the policy of after step 3 is copied.
    for reference in references[3:]:
        assert all(torch.equal(weight, policies[2][n]) for n, weight in reference.items())
    assert all(torch.equal(weight, references[1][n]) for n, weight in references[2].items())
    assert not torch.equal(references[2]["model.norm.weight"], policies[2]["model.norm.weight"])
    assert references[0].keys() == policies[0].keys()


def test_the_best_and_the_latest_checkpoints_are_kept_with_their_references(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), EMA(decay=0.9), steps=6, checkpoint_every=2, evaluate_every=3)
    losses = curve(tmp_path / "stage", "eval/test/loss")
    best = 3 * (1 + losses.index(min(losses)))
    kept = {path.parent.name for path in (tmp_path / "stage").rglob("reference.safetensors")}
    assert kept == {f"step-{step:08d}" for step in (best, 4, 6)}


def test_a_checkpoint_without_an_update_is_what_it_was_before_there_were_any(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), None, checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    assert {file.name for file in folder.iterdir()} == {
        "weights.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    assert list(json.loads((folder / "state.json").read_text())) == [
        *("schema", "step", "tokens", "estimator", "window", "first_loss", "last", "score"),
        *("processes", "micro_batch_tokens", "micro_batch_option", "files", "crc"),
    ]


def test_checkpoints_of_a_refreshed_reference_hold_no_pickle(run: Run, tmp_path: Path) -> None:
    run(DPO(), EMA(decay=0.9), checkpoint_every=5)
    files = {file.suffix for file in checkpoint(tmp_path / "stage").iterdir()}
    assert files == {".safetensors", ".json"}


def test_with_adapters_a_checkpoint_keeps_the_reference_s_adapters_alone(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=2), lora={"rank": 2}, checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    trained, kept = (load_file(folder / f"{name}.safetensors") for name in ("weights", "reference"))
    assert trained.keys() == kept.keys()
    assert all("lora_" in name for name in kept)


def test_heads_of_the_loss_are_no_part_of_the_reference(run: Run, tmp_path: Path) -> None:
    run(PPO(advantage="gae"), Copy(every=2), checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    trained, kept = (load_file(folder / f"{name}.safetensors") for name in ("weights", "reference"))
    assert {name for name in trained if name not in kept} == {
        name for name in trained if name.startswith("heads.")
    }
    assert len(kept) < len(trained)


def other_model(tiny_model: ModelInput, folder: Path, **config: Any) -> ModelInput:
    """A model like `tiny_model` with other weights, or another configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM

    made = AutoConfig.from_pretrained(tiny_model.path, **config)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(made)
    save_model_folder(folder, model, load_tokenizer(tiny_model, None))
    return ModelInput(str(folder), None, folder.name)


@pytest.mark.parametrize("update", [Copy(every=2), EMA(decay=0.9)], ids=repr)
def test_tied_weights_are_mixed_once_and_stay_tied(
    update: ReferenceUpdate, start: Start, tiny_model: ModelInput, tmp_path: Path
) -> None:
    tied = other_model(tiny_model, tmp_path / "tied", tie_word_embeddings=True)
    stage, context = start(DPO(), update, reference=tied)
    context = replace(context, models={"from": tied, "reference": tied})
    training = set_up(stage.recipe(), context, Ranks("cpu"))
    assert training.refresh is not None
    assert training.objective.reference is not None
    model = training.objective.reference.scorer.model
    before = model.model.embed_tokens.weight.clone()
    with torch.no_grad():
        training.policy.model.model.embed_tokens.weight.add_(1.0)
    for step in (1, 2, 3):
        training.refresh.before(step)
    share = {Copy: 1.0, EMA: 1 - 0.9**2}[type(update)]
    assert torch.allclose(model.model.embed_tokens.weight, before + share, atol=1e-6)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "lm_head.weight" not in training.refresh.tensors


def test_another_reference_serves_until_the_first_copy_and_is_then_the_policy(
    run: Run, tiny_model: ModelInput, tmp_path: Path
) -> None:
    other = other_model(tiny_model, tmp_path / "other")
    run(DPO(), Copy(every=2), reference=other)
    rewards = curve(tmp_path / "stage", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [False, False, True, False, True]
    run(DPO(), None, reference=other, name="frozen")
    assert rewards[:2] == curve(tmp_path / "frozen", "rewards/chosen")[:2]
    run(DPO(), Copy(every=2), reference=other, lora={"rank": 2}, name="lora")
    rewards = curve(tmp_path / "lora", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [False, False, True, False, True]


def test_a_reference_that_changes_is_held_as_the_policy_is(start: Start) -> None:
    def dtypes(training: Training) -> tuple[set[torch.dtype], set[torch.dtype]]:
        assert training.objective.reference is not None
        reference = training.objective.reference.scorer
        assert not any(weight.requires_grad for weight in reference.parameters())
        models = training.objective.policy, reference
        first, second = ({weight.dtype for weight in m.parameters()} for m in models)
        return first, second

    half = {"precision": "bfloat16"}
    full = torch.float32
    assert dtypes(started(start, DPO(), EMA(decay=0.9), **half)) == ({full}, {full})
    both = {full, torch.bfloat16}
    adapted = started(start, DPO(), Copy(every=1), lora={"rank": 2}, **half)
    assert dtypes(adapted) == (both, both)
    assert dtypes(started(start, DPO(), None, **half)) == ({full}, both)


def test_an_average_takes_in_changes_that_bfloat16_would_round_away(start: Start) -> None:
    training = started(start, DPO(), EMA(decay=0.999), precision="bfloat16", steps=20)
    assert training.refresh is not None
    assert training.objective.reference is not None
    (name, weight), *_ = training.policy.model.named_parameters()
    before = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(1.01)
    for step in range(1, 21):
        training.refresh.before(step)
    found = training.objective.reference.scorer.model.get_parameter(name)
    assert torch.allclose(found, before * (1 + 0.01 * (1 - 0.999**19)), rtol=1e-5, atol=0)
    rounded = before.bfloat16()
    for _ in range(19):
        rounded.lerp_(weight.detach().bfloat16(), 0.001)
    assert torch.equal(rounded, before.bfloat16())


class Marked(Loss):
    """DPO's gain on binary feedback, with a control token after each prompt."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")

    def control_tokens(self) -> tuple[str, str]:
        return "<|good|>", "<|bad|>"

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = torch.where(batch.desirable, batch.logratios, -batch.logratios)
        return LossOutput(
            -gains.sigmoid(), torch.ones_like(gains), rewards=batch.logratios.detach()
        )


def test_control_tokens_are_copied_with_the_vocabulary_that_grew(run: Run, tmp_path: Path) -> None:
    run(Marked(), Copy(every=1))
    assert curve(tmp_path / "stage", "rewards/desirable")[1:] == [0.0] * 4


def test_an_evaluation_compares_with_the_reference_of_its_step(run: Run, tmp_path: Path) -> None:
    for name, update in (("stage", Copy(every=2)), ("frozen", None)):
        run(DPO(), update, name=name, evaluate_every=1, steps=3)
    followed, frozen = (
        curve(tmp_path / name, "eval/test/rewards/chosen") for name in ("stage", "frozen")
    )
    assert followed[:2] == frozen[:2]
    assert followed[2] != frozen[2]


def test_neither_micro_batches_nor_evaluation_change_what_is_learned(
    run: Run, tmp_path: Path
) -> None:
    update = EMA(decay=0.5)
    run(DPO(), update, name="whole", evaluate_every=1)
    run(DPO(), update, name="again")
    run(DPO(), update, name="cut", micro_batch_tokens=20)
    whole, again, cut = (model_weights(tmp_path / name) for name in ("whole", "again", "cut"))
    for name, weight in whole.items():
        assert torch.equal(again[name], weight)
        assert (cut[name] - weight).norm() <= 1e-4 * weight.norm()


def test_an_update_that_never_comes_is_told(run: Run) -> None:
    warnings: list[str] = []
    run(DPO(), Copy(every=5), warnings=warnings)
    assert warnings == ["reference_update does not change the reference in any of the 5 steps"]


def test_an_update_without_a_reference_is_a_mistake() -> None:
    stage = Train(data="d", loss=SFT(), reference_update=Copy(every=1))
    assert stage.mistakes() == [
        ("reference_update", "the loss uses no reference model; leave it out")
    ]


def test_low_rank_factors_are_copied_and_not_mixed(start: Start) -> None:
    lora = {"rank": 2}
    assert not Train(data="d", loss=DPO(), reference_update=Copy(every=1), lora=lora).mistakes()
    ((option, message),) = Train(
        data="d", loss=DPO(), reference_update=EMA(decay=0.9), lora=lora
    ).mistakes()
    assert option == "reference_update"
    assert message.startswith("mixes weights, but low-rank factors cannot be mixed")
    assert message.endswith("Copy the policy ({use: copy, every: K}), or train all weights")


class MixesLate(ReferenceUpdate):
    """Mixes after the steps that a check of the spec tries."""

    def mix(self, step: int) -> float:
        return 0.5 * (step > 10_001)


def test_an_average_of_factors_that_the_spec_s_check_did_not_see_is_refused_before_training(
    start: Start,
) -> None:
    stage, context = start(DPO(), MixesLate(), lora={"rank": 2}, steps=None, epochs=4_000)
    assert not stage.mistakes()
    with pytest.raises(UserError, match="reference_update: mixes weights, but low-rank"):
        stage.run(context)


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        ({"intermediate_size": 48}, r"layers\.0\.mlp\.gate_proj\.weight is 48 x 32 in it, and 64"),
        ({"num_hidden_layers": 1}, r"layers\.1\.self_attn\.q_proj\.weight is missing in it, and"),
        ({"num_hidden_layers": 3}, r"layers\.2\.\S* is \d+ x \d+ in it, and missing there"),
        ({"tie_word_embeddings": True}, r"lm_head\.weight is missing in it"),
    ],
)
def test_a_reference_of_another_architecture_is_refused_before_anything_is_trained(
    config: dict[str, Any],
    difference: str,
    start: Start,
    two_layers: ModelInput,
    tmp_path: Path,
) -> None:
    other = other_model(two_layers, tmp_path / "other", **config)
    message = f"other: the reference cannot take in the weights .*: model.{difference}"
    message = message.replace("model.lm_head", "lm_head")
    stage, context = start(DPO(), Copy(every=2))
    context = replace(context, models={"from": two_layers, "reference": other})
    with pytest.raises(ModelError, match=message):
        stage.preflight(context.models)
    with pytest.raises(ModelError, match=message):
        stage.run(context)
    frozen, _ = start(DPO(), None, reference=other)
    frozen.preflight(context.models)
    assert not (context.folder / "checkpoints").exists()


def test_references_of_equal_architecture_pass_the_preflight_whatever_their_vocabularies(
    start: Start, tiny_model: ModelInput, tmp_path: Path
) -> None:
    other = other_model(tiny_model, tmp_path / "other", vocab_size=512)
    stage, context = start(DPO(), Copy(every=2), reference=other)
    stage.preflight(context.models)


def test_a_reference_with_other_positions_is_refused(
    start: Start, tiny_model: ModelInput, tmp_path: Path
) -> None:
    rope = {"rope_type": "default", "rope_theta": 500.0}
    other = other_model(tiny_model, tmp_path / "other", rope_parameters=rope)
    stage, context = start(DPO(), Copy(every=2), reference=other)
    with pytest.raises(ModelError, match=r"the constant \S*inv_freq is another one"):
        stage.run(context)


class Counting(ReferenceUpdate):
    """Counts its calls."""

    asked: ClassVar[list[int]] = []

    def mix(self, step: int) -> float:
        self.asked.append(step)
        return 1.0


@pytest.mark.parametrize(("steps", "asked"), [(3, 3), (None, 10_000), (10**9, 10_000)])
def test_the_check_of_a_spec_asks_for_so_many_steps(steps: int | None, asked: int) -> None:
    Counting.asked.clear()
    assert not Train(data="d", loss=DPO(), reference_update=Counting(), steps=steps).mistakes()
    assert Counting.asked == list(range(1, asked + 1))


class Faulty(ReferenceUpdate):
    """Breaks its promise in one way."""

    way: ClassVar[str]

    def mix(self, step: int) -> Any:
        if step < 3:
            return 0.0
        return {"raises": lambda: 1 / 0, "nan": lambda: math.nan, "text": lambda: "all"}.get(
            self.way, lambda: {"more": 1.5, "less": -0.1}.get(self.way)
        )()


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("raises", "raised ZeroDivisionError: division by zero"),
        ("nan", "returned nan; expected a number from 0 to 1"),
        ("text", "returned 'all'; expected a number from 0 to 1"),
        ("more", "returned 1.5; expected a number from 0 to 1"),
        ("less", "returned -0.1; expected a number from 0 to 1"),
        ("nothing", "returned None; expected a number from 0 to 1"),
    ],
)
def test_a_faulty_update_is_its_plugin_s_fault_before_anything_is_trained(
    way: str, message: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "way", way, raising=False)
    stage, context = start(DPO(), Faulty())
    for do in (stage.mistakes, lambda: stage.run(context)):
        with pytest.raises(PluginError) as caught:
            do()
        assert caught.value.message == f"Faulty.mix(3) {message}"
        assert str(caught.value.location).startswith(f"{__file__}:")
    assert not (context.folder / "events.jsonl").exists()
