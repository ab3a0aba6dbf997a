"""The weights of a reference that is updated: tied ones, and the dtype they are held in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refreshed_stage import other_model, started

from halo_core import ModelInput
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext
from halo_methods.components import DPO, EMA, Copy
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import Training, set_up

Start = Callable[..., tuple[Train, StageContext]]


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
