"""Rows, models and options that the stage refuses or warns of before it trains."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_on_words import make_rows

from halo_core import ModelInput
from halo_core.errors import DataError, ModelError, UserError
from halo_core.stage import StageContext, StageResult
from halo_methods.components import DPO, SFT
from halo_trainer.train.options import Train

Run = Callable[..., StageResult]


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
