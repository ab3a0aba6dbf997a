"""The test kit looks at what a stage with a model leaves: a tokenizer, and torch as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field

from halo_core import ModelRef, Stage, StageContext, StageResult
from halo_core.testing import stage_context, tiny_model
from halo_core.testing.stages.products import check_tokenizer
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.torch_modes import keeps_torch_modes


class Mixes(Stage):
    """Would mix two models."""

    produces: ClassVar = "model"
    one: ModelRef = Field(description="A model.")
    other: ModelRef = Field(description="Another model.")

    def run(self, context: StageContext) -> StageResult:
        return StageResult({})


STAGE = Mixes(one="model", other="model")


def test_each_option_gets_another_model(tmp_path: Path) -> None:
    weights = {
        Path(model.path, "model.safetensors").read_bytes()
        for model in given_context(STAGE, tmp_path).models.values()
    }
    assert len(weights) == 2


@pytest.mark.parametrize("left_out", ["", "tokenizer"])
def test_a_model_without_the_tokenizer_of_its_input_is_found(left_out: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "given")
    context = stage_context(tmp_path / "stage", models={"one": model})
    ignored = shutil.ignore_patterns(f"{left_out}*") if left_out else None
    shutil.copytree(model.path, context.folder / "model", ignore=ignored)
    if not left_out:
        check_tokenizer(STAGE, context)
        return
    with pytest.raises(AssertionError, match="writes a model without a tokenizer"):
        check_tokenizer(STAGE, context)


def disturb() -> None:
    with keeps_torch_modes(STAGE, "run()"):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)


def test_a_changed_mode_of_torch_is_found_and_set_back() -> None:
    with keeps_torch_modes(STAGE, "run()"):
        torch.ones(1)
    with pytest.raises(AssertionError, match="leaves torch's default dtype and gradient mode"):
        disturb()
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
