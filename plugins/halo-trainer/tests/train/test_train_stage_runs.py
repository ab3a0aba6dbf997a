"""The stage as a whole: resumed equals uninterrupted; its logs, checkpoints and files."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaMLP

from halo_core import ModelInput
from halo_core.errors import DataError, Interrupted, ModelError, NotFiniteError, UserError
from halo_core.events import EventLog, read_events
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import Estimate, Observed, Observes, RefPointEstimator
from halo_core.stage import StageContext, StageResult, StopFlag
from halo_methods.components import DPO, GRPO, KTO, SFT, MatchedKL, MismatchedKL, RunningMean
from halo_trainer.train.loop import seed_step
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import set_up

WORDS = "the cow says moo duck quack ant six legs coal black green grass".split()
Run = Callable[..., StageResult]


def make_rows(feedback: Feedback, count: int) -> list[dict[str, Any]]:
    rng = random.Random(5)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))

    columns: dict[str, Callable[[], dict[str, Any]]] = {
        "text": lambda: {"text": text()},
        "demonstration": lambda: {"completion": text()},
        "binary": lambda: {"completion": text(), "desirable": rng.random() < 0.5},
        "paired": lambda: {"chosen": text(), "rejected": text()},
        "scored": lambda: {
            "completions": [text() for _ in range(rng.randint(2, 4))],
            "scores": [rng.random() for _ in range(4)],
        },
    }
    prompts = [{"prompt": [{"role": "user", "content": f"{text()} {i}?"}]} for i in range(count)]
    if feedback == "scored":
        groups = [columns["scored"]() for _ in range(count)]
        for group in groups:
            group["scores"] = group["scores"][: len(group["completions"])]
        return [prompt | group for prompt, group in zip(prompts, groups, strict=True)]
    if feedback == "text":
        return [columns["text"]() for _ in range(count)]
    return [prompt | columns[feedback]() for prompt in prompts]


@pytest.fixture
def run(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Run:
    """Runs a stage on generated rows; returns its result."""

    def go(
        loss: Loss,
        *,
        name: str = "stage",
        rows: int = 10,
        feedback: Feedback | None = None,
        model: ModelInput = tiny_model,
        test_rows: int = 0,
        events: type[EventLog] | None = None,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> StageResult:
        kind = feedback or loss.feedback
        data = {"data": make_data(kind, make_rows(kind, rows))}
        if test_rows:
            data["evaluate.test"] = make_data(kind, make_rows(kind, test_rows), "test")
            options["evaluate"] = {"test": "test"}
        models = {"from": model, "reference": model}
        context = make_context(data=data, models=models, name=name, stop=stop, warnings=warnings)
        if events is not None:
            context = replace(context, events=events(context.folder / "events.jsonl"))
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        stage = Train(
            **{"batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "data": "train"} | options,
            loss=loss,
        )
        assert not stage.mistakes()
        return stage.run(context)

    return go


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def curves(folder: Path) -> dict[tuple[int, str], float]:
    """The last value of each curve at each step, except timings."""
    return {
        (event["step"], name): value
        for event, _ in read_events(folder / "events.jsonl")
        if event["type"] == "metrics"
        for name, value in event["metrics"].items()
        if not name.startswith("perf/")
    }


def steps_kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


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


class KilledAtStep6(EventLog):
    """Dies when step 6 is logged."""

    def append(self, type_: str, **fields: Any) -> None:
        if fields["step"] == 6:
            raise Killed
        super().append(type_, **fields)


RESUMABLE: dict[str, tuple[Loss, dict[str, Any]]] = {
    "kto, adamw, dropout": (KTO(), {"dropout": 0.2}),
    "kto, matched-kl": (KTO(), {"reference_point": MatchedKL(), "micro_batch_tokens": 30}),
    "kto, running-mean, dropout": (
        KTO(),
        {"reference_point": RunningMean(), "dropout": 0.2, "micro_batch_tokens": 30},
    ),
    "grpo, dropout": (
        GRPO(ratio_to="reference", aggregate="token"),
        {"dropout": 0.2, "micro_batch_tokens": 30},
    ),
    "dpo, rmsprop, cosine": (
        DPO(),
        {"optimizer": "rmsprop", "optimizer_options": {"momentum": 0.9}, "schedule": "cosine"},
    ),
    "sft, lora, sgd": (
        SFT(),
        {"lora": {"rank": 2}, "optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
    ),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_stopped_training_goes_on_bit_for_bit(name: str, run: Run, tmp_path: Path) -> None:
    loss, options = RESUMABLE[name]
    # It stops after the first step of the second epoch, in the middle of a window of the log.
    options = options | {"epochs": 2, "log_every": 3, "test_rows": 5, "evaluate_every": 3}
    expected = run(loss, name="whole", **options)
    with pytest.raises(Interrupted, match="step 4 of 6 is kept"):
        run(loss, name="cut", stop=StopAfter(4), **options)
    assert 4 in steps_kept(tmp_path / "cut")
    found = run(loss, name="cut", **options)
    same(tmp_path / "cut", tmp_path / "whole", found, expected)


def test_a_killed_training_goes_on_bit_for_bit(run: Run, tmp_path: Path) -> None:
    options = {"epochs": 3, "log_every": 3, "checkpoint_every": 4}
    expected = run(KTO(), name="whole", **options)
    with pytest.raises(Killed):
        run(KTO(), name="cut", events=KilledAtStep6, **options)
    assert steps_kept(tmp_path / "cut") == [4]
    found = run(KTO(), name="cut", **options)
    same(tmp_path / "cut", tmp_path / "whole", found, expected)


def same(cut: Path, whole: Path, found: StageResult, expected: StageResult) -> None:
    other = weights(whole)
    assert all(torch.equal(tensor, other[name]) for name, tensor in weights(cut).items())
    assert curves(cut) == curves(whole)
    timed = ("tok_s", "step_s", "peak_gb")
    assert {k: v for k, v in found.metrics.items() if k not in timed} == {
        k: v for k, v in expected.metrics.items() if k not in timed
    }


class RunningTotal(RefPointEstimator):
    """Counts its calls, as a state that must survive."""

    observes: ClassVar[Observes] = "nothing"

    def estimate(self, observed: Observed, state: Any) -> Estimate:
        calls = state.get("calls", 0.0) + 1
        return Estimate(calls, {"calls": calls})


def test_the_estimators_state_is_kept_and_evaluation_leaves_it_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "MismatchedKL", RunningTotal)
    options = {"epochs": 2, "log_every": 1, "test_rows": 3, "evaluate_every": 2}
    with pytest.raises(Interrupted):
        run(KTO(), stop=StopAfter(3), **options)
    run(KTO(), **options)
    points = {s: v for (s, n), v in curves(tmp_path / "stage").items() if n[:8] == "policy/r"}
    assert points == {step: float(step) for step in range(1, 7)}


@pytest.mark.parametrize(("loss", "value"), [(DPO(), 0.6931472), (KTO(), 0.5)])
def test_the_first_loss_is_that_of_a_policy_that_equals_its_reference(
    loss: Loss, value: float, run: Run, tmp_path: Path
) -> None:
    result = run(loss)
    assert curves(tmp_path / "stage")[1, "train/loss"] == pytest.approx(value, abs=1e-6)
    assert result.metrics["loss_first"] == pytest.approx(value, abs=1e-6)
    assert curves(tmp_path / "stage")[1, "train/grad_norm"] > 0


def test_training_lowers_the_loss_and_says_so(run: Run, tmp_path: Path) -> None:
    result = run(SFT(), epochs=4, test_rows=3)
    assert result.metrics["loss"] < result.metrics["loss_first"]
    assert result.headline.startswith("learned from 40 examples in 12 steps; the loss went from")
    assert " on test" in result.headline
    assert (result.metrics["steps"], result.metrics["examples"]) == (12, 40)
    assert result.metrics["tokens"] > 40
    assert all(isinstance(value, float) for value in result.metrics.values())


def test_raw_text_trains_a_loss_on_demonstrations(run: Run) -> None:
    result = run(SFT(), feedback="text", epochs=2)
    assert result.metrics["loss"] < result.metrics["loss_first"]


def test_the_model_folder_gives_the_trained_model(
    run: Run, tmp_path: Path, tiny_model: ModelInput
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run(SFT(), steps=2)
    folder = tmp_path / "stage" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config._attn_implementation == "sdpa"
    assert model(torch.tensor([[1, 2, 3]])).logits.shape[:2] == (1, 3)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    before = load_file(Path(tiny_model.path) / "model.safetensors")
    assert any(not torch.equal(before[name], t) for name, t in weights(folder.parent).items())


def test_lora_trains_few_weights_and_exports_the_merged_model(run: Run, tmp_path: Path) -> None:
    run(SFT(), steps=3, lora={"rank": 2}, checkpoint_every=1)
    folder = tmp_path / "stage"
    assert (folder / "model" / "adapter" / "adapter_model.safetensors").exists()
    kept = max((folder / "checkpoints").glob("step-*"))
    assert all("lora_" in name for name in load_file(kept / "weights.safetensors"))


class FailsAtStep3(Loss):
    """Is not a number after the weights have changed twice."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        FailsAtStep3.calls += 1
        losses = -batch.policy_logps * (torch.nan if FailsAtStep3.calls >= 3 else 1)
        return LossOutput(losses, torch.ones_like(losses))


def test_not_a_number_stops_with_the_state_before_it_and_names_the_rows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailsAtStep3, "calls", 0)
    with pytest.raises(NotFiniteError, match=r"stage: step 3: .*of 2 examples: train-\d+, train"):
        run(FailsAtStep3(), rows=10, steps=6)
    assert steps_kept(tmp_path / "stage") == [2]
    monkeypatch.setattr(FailsAtStep3, "calls", -100)
    run(FailsAtStep3(), steps=2, name="two")
    kept = load_file(tmp_path / "stage" / "checkpoints" / "step-00000002" / "weights.safetensors")
    two = weights(tmp_path / "two")
    assert all(torch.equal(kept[name], tensor) for name, tensor in two.items() if name in kept)
    assert not (tmp_path / "stage" / "model").exists()


def test_the_latest_and_the_best_checkpoints_are_kept(run: Run, tmp_path: Path) -> None:
    options = {"epochs": 4, "checkpoint_every": 2, "test_rows": 4, "evaluate_every": 3}
    run(SFT(), **options, keep_last=2, keep_best=1)
    folder = tmp_path / "stage"
    losses = {s: v for (s, n), v in curves(folder).items() if n == "eval/test/loss"}
    best = min(losses, key=lambda step: losses[step])
    assert set(steps_kept(folder)) == {10, 12, best}
    states = {
        step: json.loads((folder / "checkpoints" / f"step-{step:08d}" / "state.json").read_text())
        for step in steps_kept(folder)
    }
    assert states[best]["score"] == losses[best]


LEARNS_TOO_LONG: dict[str, Any] = {
    "epochs": 10,
    "learning_rate": 3e-2,
    "test_rows": 4,
    "evaluate_every": 2,
    "checkpoint_every": 100,
}
"""The loss on other rows is at its lowest long before the last step."""


def losses_on_test(folder: Path) -> dict[int, float]:
    return {step: v for (step, name), v in curves(folder).items() if name == "eval/test/loss"}


def test_the_best_step_is_exported_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    result = run(SFT(), export="best", **LEARNS_TOO_LONG)
    losses = losses_on_test(tmp_path / "stage")
    best = min(losses, key=lambda step: losses[step])
    assert best < max(losses)
    assert result.metrics["exported_step"] == best
    assert result.metrics["eval_test_loss"] == losses[best]
    assert f"; step {best}, the best, is exported, {losses[best]:.3f} on test" in result.headline
    # Its weights are those that the same training has at this step.
    exported = weights(tmp_path / "stage")
    short = {k: v for k, v in LEARNS_TOO_LONG.items() if k != "epochs"}
    run(SFT(), name="short", steps=best, **short)
    for name, tensor in weights(tmp_path / "short").items():
        assert torch.equal(exported[name], tensor)


def test_the_best_adapter_is_exported(run: Run, tmp_path: Path) -> None:
    options = LEARNS_TOO_LONG | {"lora": {"rank": 4}, "learning_rate": 0.05}
    result = run(SFT(), export="best", **options)
    best = int(result.metrics["exported_step"])
    assert best < 30
    short = {k: v for k, v in options.items() if k != "epochs"}
    run(SFT(), name="short", steps=best, **short)
    exported = weights(tmp_path / "stage")
    assert all(torch.equal(exported[n], t) for n, t in weights(tmp_path / "short").items())


def test_the_last_step_is_exported_by_default_and_the_headline_names_a_better_one(
    run: Run, tmp_path: Path
) -> None:
    result = run(SFT(), **LEARNS_TOO_LONG)
    losses = losses_on_test(tmp_path / "stage")
    best, last = min(losses, key=lambda step: losses[step]), max(losses)
    assert "exported_step" not in result.metrics
    assert result.metrics["eval_test_loss"] == losses[last]
    assert result.headline.endswith(
        f", {losses[last]:.3f} on test; the last step is exported, though step {best} had "
        f"{losses[best]:.3f}"
    )


def test_a_resumed_training_exports_the_best_step_of_all(run: Run, tmp_path: Path) -> None:
    options = LEARNS_TOO_LONG | {"checkpoint_every": 5}
    whole = run(SFT(), name="whole", export="best", **options)
    stop = StopAfter(int(whole.metrics["exported_step"]) + 3)
    with pytest.raises(Interrupted):
        run(SFT(), export="best", stop=stop, **options)
    assert run(SFT(), export="best", **options).headline == whole.headline
    again, once = weights(tmp_path / "stage"), weights(tmp_path / "whole")
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())


def test_checkpoints_say_that_they_are_no_models(run: Run, tmp_path: Path) -> None:
    run(SFT(), steps=2, checkpoint_every=2)
    text = (tmp_path / "stage" / "checkpoints" / "README.md").read_text()
    assert text.startswith("# Internal: states of a training, not models")


def test_checkpoints_hold_no_pickle(run: Run, tmp_path: Path) -> None:
    run(SFT(), steps=2, checkpoint_every=2)
    files = {p.suffix for p in (tmp_path / "stage" / "checkpoints").rglob("*") if p.is_file()}
    assert files == {".safetensors", ".json", ".md"}


def test_evaluation_is_the_same_however_it_is_cut(run: Run, tmp_path: Path) -> None:
    options = {"steps": 1, "test_rows": 7}
    run(KTO(), name="whole", **options)
    run(KTO(), name="cut", micro_batch_tokens=20, **options)
    whole, cut = curves(tmp_path / "whole"), curves(tmp_path / "cut")
    names = {name for _, name in whole if name.startswith("eval/test/")}
    assert {"eval/test/loss", "eval/test/policy/reference_point"} <= names
    assert [cut[1, name] for name in names] == pytest.approx(
        [whole[1, name] for name in names], rel=1e-4, abs=1e-4
    )
    classes = [whole[1, f"eval/test/counts/{name}"] for name in ("desirable", "undesirable")]
    assert sum(classes) == 7


def test_several_evaluation_sets_have_names_of_their_own(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    sets = {
        name: make_data("demonstration", make_rows("demonstration", 3 + i), name)
        for i, name in enumerate(("train", "near", "far"))
    }
    context = make_context(
        data={"data": sets["train"], "evaluate.near": sets["near"], "evaluate.far": sets["far"]},
        models={"from": tiny_model},
    )
    stage = Train(data="train", evaluate={"near": "near", "far": "far"}, loss=SFT(), device="cpu")
    stage.run(context)
    found = curves(context.folder)
    assert found[1, "eval/near/loss"] != found[1, "eval/far/loss"]


def test_a_logged_loss_is_the_mean_over_all_tokens_since_the_last(run: Run, tmp_path: Path) -> None:
    options = {"steps": 3, "learning_rate": 1e-30}
    run(SFT(), name="each", log_every=1, **options)
    run(SFT(), name="all", log_every=3, **options)
    each, whole = curves(tmp_path / "each"), curves(tmp_path / "all")
    sums = [
        (each[step, "train/loss"], each[step, "policy/lengths"] * size)
        for step, size in ((2, 4), (3, 2))
    ]
    tokens = sum(count for _, count in sums)
    expected = sum(loss * count for loss, count in sums) / tokens
    assert whole[3, "train/loss"] == pytest.approx(expected, rel=1e-6)


def test_a_loss_without_a_reference_needs_no_reference_model(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    data = {"data": make_data("demonstration", make_rows("demonstration", 3))}
    context = make_context(data=data, models={"from": tiny_model})
    assert Train(data="d", loss=SFT(), device="cpu", steps=1).run(context).metrics["steps"] == 1


def test_what_was_cut_is_told(run: Run) -> None:
    warnings: list[str] = []
    run(SFT(), steps=1, max_length=24, warnings=warnings)
    assert any("completions were cut to fit" in warning for warning in warnings)


def test_an_empty_set_is_refused(run: Run) -> None:
    with pytest.raises(DataError, match="train: there are no rows"):
        run(SFT(), rows=0)


def test_a_length_beyond_the_models_context_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match="max_length 300 is more than the 256 tokens"):
        run(SFT(), max_length=300)


def test_bfloat16_keeps_the_weights_in_float32(run: Run, tmp_path: Path) -> None:
    result = run(DPO(), steps=2, precision="bfloat16")
    assert {tensor.dtype for tensor in weights(tmp_path / "stage").values()} == {torch.float32}
    assert result.metrics["loss_first"] == pytest.approx(0.6931472, abs=0.02)


def test_matrices_of_the_frozen_reference_are_held_in_the_dtype_it_computes_in(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    data = {"data": make_data("paired", make_rows("paired", 3))}
    context = make_context(data=data, models={"from": tiny_model, "reference": tiny_model})
    stage = Train(data="d", loss=DPO(), device="cpu", precision="bfloat16")
    objective = set_up(stage.recipe(), context, Ranks("cpu")).objective
    assert objective.reference is not None
    held = {n: p.dtype for n, p in objective.reference.scorer.model.named_parameters()}
    assert {held[n] for n in held if "embed" in n or "norm" in n} == {torch.float32}
    assert {held[n] for n in held if "_proj" in n or "lm_head" in n} == {torch.bfloat16}
    assert not any(p.requires_grad for p in objective.reference.scorer.parameters())
    assert {b.dtype for b in objective.reference.scorer.buffers()} == {torch.float32}
    assert {p.dtype for p in objective.policy.parameters()} == {torch.float32}


@pytest.mark.parametrize("options", [{}, {"lora": {"rank": 2}}])
def test_the_first_step_in_bfloat16_compares_equals(
    run: Run, tmp_path: Path, options: dict[str, Any]
) -> None:
    result = run(KTO(), steps=1, precision="bfloat16", **options)
    assert result.metrics["loss_first"] == 0.5
    assert result.metrics["reference_point"] == result.metrics["kl"] == 0
    result = run(DPO(), name="pairs", steps=1, precision="bfloat16", **options)
    assert result.metrics["rewards_chosen"] == result.metrics["rewards_rejected"] == 0


def test_dropout_is_only_for_what_is_learned_from(run: Run, tmp_path: Path) -> None:
    options = {"dropout": 0.5, "steps": 1, "learning_rate": 1e-30, "test_rows": 4}
    run(KTO(), **options)
    found = curves(tmp_path / "stage")
    assert found[1, "policy/kl"] == pytest.approx(0, abs=1e-5)
    assert found[1, "eval/test/loss"] == pytest.approx(0.5, abs=1e-6)
    assert found[1, "rewards/desirable"] != pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "serves"),
    [({}, True), ({"dropout": 0.5}, False), ({"lora": {"rank": 2, "dropout": 0.5}}, False)],
)
def test_the_gradients_pass_serves_the_reference_point_only_where_nothing_is_dropped_out(
    options: dict[str, Any],
    serves: bool,
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> None:
    data = {"data": make_data("binary", make_rows("binary", 3))}
    context = make_context(data=data, models={"from": tiny_model, "reference": tiny_model})
    stage = Train(data="d", loss=KTO(), device="cpu", **options)
    objective = set_up(stage.recipe(), context, Ranks("cpu")).objective
    assert objective.gives_own_logratios == serves
    objective.policy.eval()
    assert objective.gives_own_logratios


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_gradient_checkpointing_computes_each_layer_twice(
    run: Run,
    two_layers: ModelInput,
    monkeypatch: pytest.MonkeyPatch,
    lora: dict[str, int] | None,
) -> None:
    forward = LlamaMLP.forward
    calls: list[bool] = []

    def counted(self: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return forward(self, x)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    computed = {}
    for wanted in (False, True):
        calls.clear()
        options = {"gradient_checkpointing": wanted, "lora": lora, "model": two_layers}
        # The search for a budget would compute them once more.
        run(SFT(), name=str(wanted), steps=1, micro_batch_tokens=1000, **options)
        computed[wanted] = sum(calls)
    assert computed == {False: 2, True: 4}


class Noting(Loss):
    """Records whether only deterministic kernels are used."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    noted: ClassVar[list[bool]] = []

    def __call__(self, batch: LossBatch) -> LossOutput:
        self.noted.append(torch.are_deterministic_algorithms_enabled())
        return LossOutput(-batch.policy_logps, torch.ones_like(batch.policy_logps), None)


@pytest.mark.parametrize("wanted", [False, True])
def test_deterministic_kernels_are_used_where_asked_for_and_only_in_training(
    run: Run, wanted: bool
) -> None:
    Noting.noted.clear()
    run(Noting(), steps=1, deterministic=wanted)
    assert set(Noting.noted) == {wanted}
    assert not torch.are_deterministic_algorithms_enabled()


def test_chance_is_another_at_each_step_and_rank_and_for_each_seed() -> None:
    drawn = set()
    for place in ((1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1)):
        seed_step(*place)
        drawn.add(torch.rand(()).item())
    assert len(drawn) == 4


def test_lora_holds_the_matrices_it_leaves_alone_in_bfloat16(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    data = {"data": make_data("demonstration", make_rows("demonstration", 3))}
    context = make_context(data=data, models={"from": tiny_model})
    stage = Train(
        data="d", loss=SFT(), device="cpu", precision="bfloat16", lora={"rank": 2}, steps=1
    )
    policy = set_up(stage.recipe(), context, Ranks("cpu")).objective.policy
    held = {n: p.dtype for n, p in policy.named_parameters()}
    assert {held[n] for n in held if "lora" in n or "embed" in n or "norm" in n} == {torch.float32}
    assert {held[n] for n in held if n.endswith("base_layer.weight")} == {torch.bfloat16}
    assert stage.run(context).metrics["steps"] == 1
    assert {t.dtype for t in weights(context.folder).values()} == {torch.float32}


def test_a_reference_with_another_vocabulary_is_refused(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
    tiny_tokenizer: Any,
    tmp_path: Path,
) -> None:
    from halo_models.load import load_model
    from halo_models.save import save_model_folder

    other = copy.deepcopy(tiny_tokenizer)
    other.add_tokens(["<|good|>"])
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    save_model_folder(tmp_path / "other", model, other)
    models = {"from": tiny_model, "reference": ModelInput(str(tmp_path / "other"), None, "o")}
    context = make_context(
        data={"data": make_data("paired", make_rows("paired", 3))}, models=models
    )
    with pytest.raises(ModelError, match="the reference has another vocabulary"):
        Train(data="d", loss=DPO(), device="cpu").run(context)


def test_a_warmup_longer_than_the_training_is_told(run: Run) -> None:
    warnings: list[str] = []
    run(SFT(), warmup_steps=99, warnings=warnings)
    assert "warmup_steps 99 is more than the 3 steps" in warnings[0]


def test_a_batch_that_is_larger_than_the_data_is_told(run: Run) -> None:
    warnings: list[str] = []
    run(SFT(), batch_size=99, steps=1, warnings=warnings)
    [warning] = [each for each in warnings if "batch_size" in each]
    assert re.fullmatch(
        r"batch_size is 99, but there are \d+ examples, so each step takes all of them", warning
    )
