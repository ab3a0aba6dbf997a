"""Rows for a stage whose reference is updated, and what the stage wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from halo_core import ModelInput
from halo_core.events import read_events
from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext
from halo_models.load import load_tokenizer
from halo_models.save import save_model_folder
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import Training, set_up

Start = Callable[..., tuple[Train, StageContext]]


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


def other_model(tiny_model: ModelInput, folder: Path, **config: Any) -> ModelInput:
    """A model like `tiny_model` with other weights, or another configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM

    made = AutoConfig.from_pretrained(tiny_model.path, **config)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(made)
    save_model_folder(folder, model, load_tokenizer(tiny_model, None))
    return ModelInput(str(folder), None, folder.name)
