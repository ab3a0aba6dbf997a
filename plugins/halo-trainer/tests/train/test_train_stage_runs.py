"""The stage as a whole: its first loss, its result, its model, its curves and its evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stage_on_words import curves, make_rows, weights
from transformers.models.llama.modeling_llama import LlamaMLP

from halo_core import ModelInput
from halo_core.loss import Loss
from halo_core.stage import StageContext, StageResult
from halo_methods.components import DPO, KTO, SFT
from halo_trainer.train.options import Train

Run = Callable[..., StageResult]


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
