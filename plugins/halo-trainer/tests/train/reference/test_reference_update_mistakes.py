"""Updates and references that are refused or told before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from refreshed_stage import other_model

from halo_core import ModelInput
from halo_core.errors import ModelError, PluginError, UserError
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext, StageResult
from halo_methods.components import DPO, EMA, SFT, Copy
from halo_trainer.train.options import Train

Run = Callable[..., StageResult]
Start = Callable[..., tuple[Train, StageContext]]


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
