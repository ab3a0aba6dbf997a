"""The options of a training become plain values in the right place, and no option is lost."""

from __future__ import annotations

from typing import Any

import pytest

from halo_methods.components import EMA, KTO, KTOLogSigmoid, MismatchedKL, Zero
from halo_models.conversation import ChatOptions
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.train.learning_rate import LearningRate
from halo_trainer.train.options import Train
from halo_trainer.train.recipe import (
    Duration,
    Intervals,
    KeptCheckpoints,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    Task,
    TokenLimits,
)

OPTIONS: dict[str, Any] = {
    "loss": KTO(),
    "reference_point": MismatchedKL(),
    "reference_update": EMA(decay=0.5),
    "reference_store": "on",
    "router_aux_loss_coef": 0.25,
    "batch_size": 5,
    "epochs": 2,
    "steps": 70,
    "learning_rate": 1e-3,
    "optimizer": "RMSprop",
    "optimizer_options": {"alpha": 0.9},
    "weight_decay": 0.25,
    "warmup_steps": 6,
    "schedule": "cosine",
    "max_grad_norm": 3.0,
    "max_length": 90,
    "max_prompt_length": 40,
    "template": "tulu",
    "template_date": "2024-02-29",
    "content_tokens": ["<think>"],
    "pretemplated": True,
    "template_mismatch": "drop",
    "unfinished": "undesirable",
    "precision": "bfloat16",
    "lora": LoraOptions(rank=3),
    "dropout": 0.125,
    "deterministic": True,
    "gradient_checkpointing": True,
    "micro_batch_tokens": 800,
    "sharding": "full",
    "log_every": 7,
    "evaluate_every": 11,
    "checkpoint_every": 13,
    "checkpoint_minutes": 2.5,
    "async_checkpoints": False,
    "keep_last": 4,
    "keep_best": 8,
    "export": "best",
    "device": "cpu",
}
OTHERS: dict[str, Any] = {
    "loss": KTOLogSigmoid(),
    "reference_point": Zero(),
    "optimizer": "SGD",
    "optimizer_options": {},
    "schedule": "linear",
    "template": None,
    "template_date": None,
    "content_tokens": [],
    "template_mismatch": "error",
    "unfinished": "drop",
    "precision": "float32",
    "device": "auto",
}
READ_ELSEWHERE = {"from_", "reference", "data", "evaluate", "samples", "processes", "machines"}
"""Options that the core uses, because it gives models and rows to the stage, or the launcher."""


def recipe(**options: Any) -> Recipe:
    return Train(data="d", **OPTIONS | options).recipe()


def test_every_option_is_where_it_belongs() -> None:
    assert recipe() == Recipe(
        task=Task(
            loss=KTO(),
            feedback="binary",
            estimator=MismatchedKL(),
            reference_update=EMA(decay=0.5),
            router_weight=0.25,
        ),
        models=ModelRecipe(
            template="tulu",
            chat=ChatOptions(
                template_date="2024-02-29",
                content_tokens=("<think>",),
                pretemplated=True,
                template_mismatch="drop",
            ),
            unfinished="undesirable",
            precision="bfloat16",
            lora=LoraOptions(rank=3),
            dropout=0.125,
            gradient_checkpointing=True,
            with_reference=True,
            stores_reference=True,
        ),
        lengths=TokenLimits(sequence=90, prompt=40, micro_batch=800),
        duration=Duration(batch_size=5, epochs=2, steps=70),
        optimizer=OptimizerRecipe(
            name="RMSprop", options={"alpha": 0.9}, weight_decay=0.25, max_grad_norm=3.0
        ),
        learning_rate=LearningRate(peak=1e-3, warmup_steps=6, schedule="cosine"),
        intervals=Intervals(log=7, evaluate=11, checkpoint=13, checkpoint_minutes=2.5),
        kept=KeptCheckpoints(last=4, best=8, exported="best", in_background=False),
        device="cpu",
        deterministic=True,
        sharding="full",
    )


def test_the_options_above_are_all_there_are() -> None:
    assert OPTIONS.keys() | READ_ELSEWHERE == Train.model_fields.keys()


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_is_without_effect(option: str) -> None:
    default = Train.model_fields[option].default
    assert recipe(**{option: OTHERS.get(option, default)}) != recipe()


@pytest.mark.parametrize(
    ("dropout", "lora", "drops_out"),
    [
        (0.0, None, False),
        (0.1, None, True),
        (0.0, LoraOptions(dropout=0.1), True),
        (0.0, LoraOptions(), False),
    ],
)
def test_a_rate_of_the_model_or_of_its_adapter_drops_out(
    dropout: float, lora: LoraOptions | None, drops_out: bool
) -> None:
    assert recipe(dropout=dropout, lora=lora).models.drops_out == drops_out
