"""Checkpoints by the clock: when the last one is too long ago, and no result is another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.events import read_events
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import SFT
from halo_trainer.train.options import Train

ROWS = [
    {"prompt": [{"role": "user", "content": f"What {i}?"}], "completion": "moo " * (1 + i % 3)}
    for i in range(6)
]


@pytest.fixture
def run(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Trains six steps of 40 s each, and returns the folder."""
    data = {"data": make_data("demonstration", ROWS)}
    now = [0.0]
    seed_step = torch.manual_seed

    def next_step(seed: int) -> Any:
        now[0] += 40.0
        return seed_step(seed)

    def train(name: str, **options: Any) -> Path:
        context = make_context(data=data, models={"from": tiny_model}, name=name)
        stage = Train(data="d", loss=SFT(), batch_size=3, steps=6, device="cpu", **options)
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda: now[0])
            patched.setattr(torch, "manual_seed", next_step)
            stage.run(context)
        return context.folder

    return train


def checkpoints(folder: Path) -> list[int]:
    events = (event for event, _ in read_events(folder / "events.jsonl"))
    return [event["step"] for event in events if event["type"] == "checkpoint"]


def test_a_checkpoint_is_written_when_the_last_one_is_too_long_ago(
    run: Callable[..., Path],
) -> None:
    by_clock = run("minutes", checkpoint_minutes=1.0)
    assert checkpoints(by_clock) == [2, 4, 6]
    # A checkpoint that the steps require counts too: the clock starts again after it.
    assert checkpoints(run("both", checkpoint_minutes=2.0, checkpoint_every=4)) == [3, 4]
    plain = run("steps")
    assert checkpoints(plain) == []
    found, expected = (
        load_file(folder / "model" / "model.safetensors") for folder in (by_clock, plain)
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)
