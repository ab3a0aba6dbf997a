"""The memory of a device by part and at its peak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from halo_trainer.sharding.choice import accumulates
from halo_trainer.sizes.architecture import architecture_of
from halo_trainer.sizes.memory import (
    FUSED,
    OPTIMIZER_STATES,
    Setting,
    exchange,
    held_bytes,
    memory_of,
)
from halo_trainer.sizes.published import published

LLAMA = architecture_of(published("huggyllama/llama-30b") or {})
assert LLAMA is not None
WEIGHTS = 32_528_943_616


def setting(**options: Any) -> Setting:
    assert LLAMA is not None
    chosen: dict[str, Any] = {
        "model": LLAMA,
        "precision": "bfloat16",
        "optimizer": "AdamW",
        "reference": False,
        "refreshed": False,
        "adapters": None,
        "checkpointing": True,
        "devices": 8,
        "sharded": True,
        "row": 8192,
        "step": 8192,
    }
    return Setting(**{**chosen, **options})


def test_adamw_takes_sixteen_bytes_per_weight_spread_over_the_devices() -> None:
    parts = memory_of(setting()).parts
    held = parts["weights"] + parts["gradients"] + parts["optimizer"]
    assert held == 16 * WEIGHTS / 8
    assert held == held_bytes(setting())
    assert held_bytes(setting(sharded=False)) == 16 * WEIGHTS


def test_a_frozen_reference_takes_two_bytes_per_matrix_weight_and_four_per_embedding() -> None:
    with_reference = memory_of(setting(reference=True)).parts["reference"]
    embeddings, norms = 32_000 * 6656, (2 * 60 + 1) * 6656
    assert with_reference == (2 * WEIGHTS + 2 * (embeddings + norms)) / 8
    refreshed = memory_of(setting(reference=True, refreshed=True)).parts["reference"]
    assert refreshed == 4 * WEIGHTS / 8


def test_accumulating_keeps_the_gradients_of_all_weights_on_each_device_that_has_room() -> None:
    once, twice = setting(), setting(step=16_384)
    assert memory_of(once).parts["unsharded gradients"] == 0
    assert memory_of(twice).parts["unsharded gradients"] == 4 * WEIGHTS
    assert memory_of(twice).peak > memory_of(once).peak + 3 * WEIGHTS
    # Without sharding, there is one gradient per weight in either case.
    whole = replace(twice, sharded=False)
    assert memory_of(whole).parts["unsharded gradients"] == 0


def test_whole_gradients_add_up_exactly_where_the_training_would_let_them() -> None:
    chosen = setting(step=16_384, reference=True)
    parts = memory_of(chosen).parts
    least = parts["weights"] + parts["reference"] + 4 * 4 * WEIGHTS
    roomy, tight = (replace(chosen, device=least + more) for more in (0, -4))
    for given, full in ((roomy, True), (tight, False)):
        free = given.device - parts["weights"] - parts["reference"]
        assert exchange(given) == accumulates(gradients=4 * WEIGHTS, free=free)
        assert memory_of(given).parts["unsharded gradients"] == (4 * WEIGHTS if full else 0)
    # With an exchange in each micro-batch, a device has its rows of the gradient during the next.
    one = memory_of(replace(tight, step=tight.row)).peak
    assert one < memory_of(tight).peak <= one + parts["gradients"] < memory_of(roomy).peak
    assert exchange(replace(tight, step=tight.row)) is exchange(replace(tight, sharded=False))
    # Low-rank factors are few, so theirs add up.
    assert memory_of(replace(tight, adapters=10**8)).parts["unsharded gradients"] == 4 * 10**8


def test_autocast_keeps_a_bfloat16_copy_of_every_linear_layer() -> None:
    assert LLAMA is not None
    narrow = memory_of(setting(sharded=False, checkpointing=False, row=1, step=2)).peak
    wide = setting(sharded=False, checkpointing=False, row=1, step=2, precision="float32")
    assert narrow - memory_of(wide).peak == pytest.approx(2 * LLAMA.linear, rel=0.02)


def test_the_peak_is_at_least_what_is_always_held_and_at_most_all_parts_together() -> None:
    for sharded in (True, False):
        for checkpointing in (True, False):
            for step in (8192, 32_768):
                chosen = setting(sharded=sharded, checkpointing=checkpointing, step=step)
                memory = memory_of(chosen)
                assert memory.peak >= held_bytes(chosen)
                # A fused optimiser takes nothing, so every byte of the peak is in some part.
                assert memory.peak <= sum(memory.parts.values()) * 1.1


@pytest.mark.parametrize("more", [{"row": 16_384, "step": 16_384}, {"reference": True}])
def test_more_work_takes_more_memory(more: dict[str, Any]) -> None:
    assert memory_of(setting(**more)).peak > memory_of(setting()).peak


@pytest.mark.parametrize("less", [{"devices": 16}, {"optimizer": "SGD"}, {"adapters": 10**8}])
def test_less_is_held_with_more_devices_fewer_states_or_fewer_trained_weights(
    less: dict[str, Any],
) -> None:
    assert memory_of(setting(**less)).peak < memory_of(setting()).peak


@pytest.mark.parametrize("name", sorted(OPTIMIZER_STATES))
def test_optimisers_keep_as_many_values_per_weight_as_assumed(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(1000))
    optimizer = getattr(torch.optim, name)([weight], lr=0.1)
    weight.grad = torch.ones(1000)
    optimizer.step()
    kept = sum(
        value.numel()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    assert kept // 1000 == OPTIMIZER_STATES[name]


def test_those_optimisers_have_a_fused_kernel() -> None:
    import inspect

    fused = {
        name
        for name in OPTIMIZER_STATES
        if "fused" in inspect.signature(getattr(torch.optim, name)).parameters
    }
    assert fused == FUSED
