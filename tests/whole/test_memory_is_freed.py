"""No stage leaves a tensor in memory: neither weights, nor what a backward pass needs."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.run import stage_runner

TRAIN = {"use": "train", "data": "train", "batch_size": 4, "steps": 1, "learning_rate": 1e-3}
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
SPEC: dict[str, Any] = {
    "name": "freed",
    "model": {
        "scratch": {
            "data": "train",
            "vocab_size": 300,
            "config": {**SMALL, "num_attention_heads": 2, "max_position_embeddings": 256},
        }
    },
    "data": {"train": {"use": "toy", "feedback": "paired", "size": 12}},
    "stages": {
        "sft": {**TRAIN, "loss": "sft"},
        "kto": {**TRAIN, "from": "sft", "loss": "kto"},
        "lora": {**TRAIN, "from": "sft", "loss": "dpo", "lora": {"rank": 2}},
        "stored": {**TRAIN, "from": "kto", "reference": "sft", "loss": "dpo"}
        | {"reference_store": "on"},
        "copied": {**TRAIN, "from": "sft", "loss": "dpo"}
        | {"reference_update": {"use": "copy", "every": 1}},
        "recomputed": {**TRAIN, "loss": "simpo", "gradient_checkpointing": True},
        "reward": {**TRAIN, "from": "sft", "loss": "bradley-terry"},
        "answers": {"use": "sample", "from": "lora", "prompts": "train"} | {"max_new_tokens": 2},
        "labels": {"use": "label", "of": "answers", "judge": "oracle", "feedback": "binary"}
        | {"threshold": "median"},
        "win": {"use": "judge", "of": "answers", "against": "target"}
        | {"judge": {"use": "reward-model", "from": "reward"}},
    },
}


@pytest.mark.slow(seconds=15)
def test_no_stage_leaves_a_tensor(
    halo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft  # noqa: F401
    import torch

    import halo_trainer.train.training  # noqa: F401

    gc.freeze()  # what was imported: each search of it takes a quarter of a second

    def there() -> dict[int, str]:
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that torch will take away
            found = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
        return {id(each): f"{tuple(each.shape)} of {each.grad_fn}" for each in found}

    left: dict[str, list[str]] = {}
    execute: Callable[..., Any] = stage_runner.execute

    def watched(folder: Path, **arguments: Any) -> Any:
        before = there()
        done = execute(folder, **arguments)
        name = json.loads((folder / "stage.json").read_text())["id"]
        left[name] = [text for each, text in there().items() if each not in before]
        return done

    monkeypatch.setattr(stage_runner, "execute", watched)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    try:
        run = halo("run", "spec.yaml")
    finally:
        gc.unfreeze()  # for the tests that follow in this process
    assert run.code == 0, run.err
    assert left == {stage: [] for stage in ["model", *SPEC["stages"]]}
