"""The precision of weights: float32 for trained ones, that of the computation for frozen ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_on_words import make_rows, weights

from halo_core import ModelInput
from halo_core.stage import StageContext, StageResult
from halo_methods.components import DPO, KTO, SFT
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import set_up

Run = Callable[..., StageResult]


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
