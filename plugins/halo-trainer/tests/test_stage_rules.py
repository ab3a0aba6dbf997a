"""The stages follow the rules that the test kit checks for all stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from halo_core.rows import DataSet
from halo_core.stage import ModelInput
from halo_core.testing import check_stage, stage_context
from halo_methods.components import KTO, Zero
from halo_trainer.sample.options import Sample
from halo_trainer.scratch.options import Scratch
from halo_trainer.train.options import Train

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 128}


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": [{"role": "user", "content": f"What {i}?"}],
            "completion": f"moo {i}",
            "desirable": i % 2 == 0,
        }
        for i in range(count)
    ]


def test_train_keeps_the_rules_of_a_stage(
    tmp_path: Path, tiny_model: ModelInput, make_data: Callable[..., DataSet]
) -> None:
    data = make_data("binary", rows(8))
    context = stage_context(
        tmp_path / "stage",
        models={"from": tiny_model, "reference": tiny_model},
        data={"data": data, "evaluate.test": data},
    )
    options = {"evaluate": {"test": "t"}, "batch_size": 4, "steps": 2, "device": "cpu"}
    check_stage(Train(data="d", loss=KTO(), reference_point=Zero(), **options), context)


def test_sample_keeps_the_rules_of_a_stage(
    tmp_path: Path, tiny_model: ModelInput, make_data: Callable[..., DataSet]
) -> None:
    context = stage_context(
        tmp_path / "stage",
        models={"from": tiny_model},
        data={"prompts": make_data("binary", rows(3))},
    )
    check_stage(Sample(prompts="d", max_new_tokens=3, batch_size=2, device="cpu"), context)


def test_scratch_keeps_the_rules_of_a_stage(
    tmp_path: Path, make_data: Callable[..., DataSet]
) -> None:
    context = stage_context(tmp_path / "stage", data={"data": make_data("binary", rows(8))})
    check_stage(Scratch(config={**SIZES, **HEADS}, data="d", vocab_size=280), context)
