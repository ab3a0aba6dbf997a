"""Compares the memory that `halo plan` forecasts with what small trainings really hold on the CPU.

    python benchmarks/memory_model.py [--optimizer RMSprop] [--tokens 480]

Each model takes two optimiser steps through the scorer of `train`. The script counts the bytes of
the weights, their gradients, the optimiser's state, and the tensors that the forward pass saves for
the backward pass (each storage once, without weights). The peak is that of torch's memory tracker,
which sees every tensor that is made. The forecast is that of one device for the same sizes.

It measures no GPU: kernels there save the same tensors, but their workspaces and the gaps of the
allocator are not seen here. `halo plan` leaves a tenth of each device for those.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import AutoConfig, AutoModelForCausalLM

from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer
from halo_trainer.sizes.architecture import Architecture, architecture_of
from halo_trainer.sizes.memory import Setting, memory_of

SIZES: dict[str, Any] = {
    "vocab_size": 2000,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "bos_token_id": None,
    "eos_token_id": 1,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "gpt_neox": SIZES | {"intermediate_size": 1024},
    "qwen2": GROUPED,
    "gemma": GROUPED | {"head_dim": 32},
    "mixtral": GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
}
MEGABYTE = 1e6


@dataclass(frozen=True)
class Measured:
    """Bytes of a training, measured."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast and measured memory of small trainings.")
    parser.add_argument("--optimizer", default="RMSprop", help="a name of torch.optim")
    parser.add_argument("--tokens", type=int, default=480, help="tokens of the micro-batch")
    options = parser.parse_args()
    print("MB: forecast / measured (difference)")
    print(f"{'model':9} {'precision':9} {'again':5}", end="")
    print("".join(f" {name:>22}" for name in ("held", "activations", "peak")))
    for kind in MODELS:
        for precision in ("float32", "bfloat16"):
            for checkpointing in (False, True):
                _compare(kind, precision, checkpointing, options)


def _compare(kind: str, precision: Any, checkpointing: bool, options: Any) -> None:
    row = _row(options.tokens, MODELS[kind]["vocab_size"])
    measured = _measure(kind, precision, checkpointing, row, options.optimizer)
    shape = architecture_of({"model_type": kind, **MODELS[kind]})
    assert shape is not None
    setting = _setting(shape, precision, checkpointing, row, options.optimizer)
    memory = memory_of(setting)
    held = sum(memory.parts[name] for name in ("weights", "gradients", "optimizer"))
    pairs = [
        (held, measured.weights + measured.gradients + measured.optimizer),
        (_saved(setting, memory.parts["activations"]), measured.activations),
        (memory.peak, measured.peak),
    ]
    texts = [f"{f / MEGABYTE:.1f} / {m / MEGABYTE:.1f} ({f / m - 1:+.1%})" for f, m in pairs]
    again = "yes" if checkpointing else "no"
    print(f"{kind:9} {precision:9} {again:5}" + "".join(f" {text:>22}" for text in texts))


def _saved(setting: Setting, activations: float) -> float:
    """Returns the forecast of what the forward pass saves, without a block computed again."""
    if not setting.checkpointing:
        return activations
    from halo_trainer.sizes.activations import block_bytes

    return activations - setting.row * block_bytes(setting.model, setting.mode)


def _setting(
    shape: Architecture, precision: Any, checkpointing: bool, row: PackedRow, optimizer: str
) -> Setting:
    tokens = row.input_ids.numel()
    return Setting(
        model=shape,
        precision=precision,
        optimizer=optimizer,
        reference=False,
        refreshed=False,
        adapters=None,
        checkpointing=checkpointing,
        devices=1,
        sharded=False,
        row=tokens,
        step=tokens,
    )


def _row(tokens: int, vocabulary: int) -> PackedRow:
    rng = np.random.default_rng(0)
    each = tokens // 4
    draw = lambda count: rng.integers(2, vocabulary, count)  # noqa: E731
    return pack([Scored(draw(1), draw(each)) for _ in range(4)])


def _measure(
    kind: str, precision: str, checkpointing: bool, row: PackedRow, optimizer: str
) -> Measured:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **MODELS[kind])).eval()
    compute = torch.float32 if precision == "float32" else torch.bfloat16
    scorer = make_scorer(model, compute_dtype=compute, max_length=128, warn=print)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    scorer.train()
    kind_of = getattr(torch.optim, optimizer)
    steps = kind_of(scorer.parameters(), lr=1e-4)
    activations = _saved_bytes(scorer, row)
    # The optimiser makes its state in the first step. The second one is tracked.
    _step(scorer, row, steps)
    tracker = MemTracker()
    tracker.track_external(scorer, steps)
    with tracker:
        gradients = _step(scorer, row, steps)
        peak = tracker.get_tracker_snapshot("peak")
    (on_cpu,) = (sizes for device, sizes in peak.items() if device.type == "cpu")
    state = sum(
        value.nbytes
        for entry in steps.state.values()
        for value in entry.values()
        if isinstance(value, Tensor)
    )
    return Measured(
        weights=sum(p.nbytes for p in scorer.parameters()),
        gradients=gradients,
        optimizer=state,
        activations=activations,
        peak=on_cpu["Total"],
    )


def _step(scorer: Scorer, row: PackedRow, optimizer: torch.optim.Optimizer) -> int:
    """Takes a step, and returns the bytes of the gradients."""
    scorer(row).token_logps.sum().backward()
    gradients = sum(p.grad.nbytes for p in scorer.parameters() if p.grad is not None)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return gradients


def _saved_bytes(scorer: Scorer, row: PackedRow) -> int:
    own = {p.untyped_storage().data_ptr() for p in scorer.parameters()}
    shapes = {tuple(p.shape) for p in scorer.parameters()}
    shapes |= {shape[::-1] for shape in shapes}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if (
            tensor.untyped_storage().data_ptr() not in own
            # Autocast also saves copies of weights, which are not activations.
            and tuple(tensor.shape) not in shapes
        ):
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scorer(row)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


if __name__ == "__main__":
    main()
