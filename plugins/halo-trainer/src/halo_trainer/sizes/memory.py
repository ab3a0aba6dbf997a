"""The memory of a device in training, by part and at its peak.

Parts do not all exist at the same time. The peak is the largest of three moments:

1. The forward pass of a micro-batch is done: all its activations exist. Gradients exist only if
   an earlier micro-batch of the step left them.
2. The backward pass ends: all gradients exist, and no activations except those of one block.
3. The optimiser takes its step: gradients, and what its kernels need.

References:
    Rajbhandari et al. 2020, ZeRO, section 3 (model states and residual states).
    Zhao et al. 2023, PyTorch FSDP, sections 3 and 4 (unsharded parameters, rate of gathering).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from halo_trainer.sharding.choice import GATHERED_BLOCKS, Choice, accumulates
from halo_trainer.sizes.activations import (
    Mode,
    backward_bytes,
    block_bytes,
    outer_bytes,
    residual_bytes,
)
from halo_trainer.sizes.architecture import Architecture

OPTIMIZER_STATES: Mapping[str, int] = {
    "Adam": 2,
    "AdamW": 2,
    "NAdam": 2,
    "RAdam": 2,
    "Adamax": 2,
    "Adadelta": 2,
    "RMSprop": 1,
    "Adagrad": 1,
    "SGD": 0,
}
"""Number of float32 values that an optimiser of torch keeps per weight, with default options."""

FUSED = frozenset({"Adam", "AdamW", "Adagrad", "SGD"})
"""Optimisers whose kernels on a GPU need no memory of their own."""

FOREACH_COPIES: Mapping[str, int] = {"Adadelta": 3, "NAdam": 2, "RAdam": 3, "Adamax": 2}
"""Number of float32 values per weight that the others need during a step; 1 for those not listed.
Sharded weights are updated one tensor after another, which needs none for all weights."""

HEAD_BUFFER = 64 * 2**20
"""Largest number of bytes of buffers of scores in the output head, which is computed in blocks."""
HEAD_POSITIONS = 4096
"""Largest number of positions of such a block. A score takes 8 bytes in all buffers."""


@dataclass(frozen=True)
class Setting:
    """All that the memory of a training depends on.

    Attributes:
        model: The architecture.
        precision: Precision of matrix products.
        optimizer: A name of `torch.optim`.
        reference: Whether a reference model is scored.
        refreshed: Whether it takes in the policy's weights.
        adapters: Number of weights of low-rank factors; None if all weights are trained.
        checkpointing: Whether activations are computed twice.
        devices: Number of devices, one process on each.
        sharded: Whether weights, gradients and optimiser state are spread over them.
        row: Number of tokens of a micro-batch.
        step: Largest number of tokens that a device computes in an optimiser step.
        device: Bytes of a device, which decide whether whole gradients add up on it. If they are
            unknown, whole gradients count.
    """

    model: Architecture
    precision: Literal["float32", "bfloat16"]
    optimizer: str
    reference: bool
    refreshed: bool
    adapters: int | None
    checkpointing: bool
    devices: int
    sharded: bool
    row: int
    step: int
    device: float = inf

    @property
    def several(self) -> bool:
        """Whether a step may have several micro-batches on a device."""
        return self.step > self.row

    @property
    def trained(self) -> int:
        """Number of trained weights."""
        return self.model.weights if self.adapters is None else self.adapters

    @property
    def mode(self) -> Mode:
        """The dtypes of weights and activations."""
        if self.precision == "float32":
            return "float32"
        return "bfloat16" if self.sharded else "autocast"

    @property
    def share(self) -> int:
        """Number of devices that hold a weight together."""
        return self.devices if self.sharded else 1


@dataclass(frozen=True)
class Memory:
    """Memory of a device, in bytes.

    Attributes:
        parts: Bytes of each part by name.
        peak: Largest number of bytes at a time.
    """

    parts: Mapping[str, float]
    peak: float


def held_bytes(setting: Setting) -> float:
    """Returns the bytes of weights, gradients, optimiser state and reference on a device.

    Args:
        setting: The training.
    """
    trained = setting.trained
    states = OPTIMIZER_STATES.get(setting.optimizer, 2)
    own = 4 * (1 + states) * trained / setting.share
    return _weights(setting) + _reference(setting) + own


def least_bytes(
    weights: int, *, optimizer: str, reference: bool, trained: bool, devices: int = 1
) -> float:
    """Returns the bytes of weights, gradients, optimiser state and reference, without a shape.

    Frozen weights count as bfloat16, though some of them are float32.

    Args:
        weights: Number of weights of the model.
        optimizer: A name of `torch.optim`.
        reference: Whether a reference model is scored.
        trained: Whether all weights are trained, and not only a few.
        devices: Number of devices that share them.
    """
    own = 4 * (2 + OPTIMIZER_STATES.get(optimizer, 2)) if trained else 2
    return weights * (own + (2 if reference else 0)) / devices


def exchange(setting: Setting) -> Choice | None:
    """Returns whether whole gradients add up over a step's micro-batches, as a training decides.

    The training decides when weights and reference are there, and the optimiser's state is not yet.
    Here, all other bytes of a device count as free. This is more than a training finds on
    a device of this size. So where the two differ, the forecast has whole gradients and the
    training needs less.

    Args:
        setting: The training.

    Returns:
        None if there is nothing to choose: the weights are not sharded, or a step is one
        micro-batch.
    """
    if not (setting.sharded and setting.several):
        return None
    free = max(0.0, setting.device - _weights(setting) - _reference(setting))
    return accumulates(gradients=4 * setting.trained, free=free)


def memory_of(setting: Setting) -> Memory:
    """Returns the memory of each device in a training.

    Args:
        setting: The training.
    """
    weights, reference, trained = _weights(setting), _reference(setting), setting.trained
    states = OPTIMIZER_STATES.get(setting.optimizer, 2)
    optimizer = 4 * states * trained / setting.share
    gradients = 4 * trained / setting.share
    choice = exchange(setting)
    whole = 4 * trained if choice is not None and choice.full else 0
    blocks, one_block = _activations(setting)
    copies, passing = _copies(setting), _passing(setting)
    head = _head(setting)
    held = weights + optimizer + reference
    earlier = max(gradients, whole) if setting.several else 0
    # The copies that autocast makes are gone before a block with checkpointing is computed again.
    begins = max(copies, one_block + passing) if setting.checkpointing else copies + passing
    moments = (
        held + earlier + blocks + begins + head,
        # The first block is the last one that is gathered.
        held + gradients + whole + one_block + passing - _gathered(setting, 1),
        held + gradients + whole + _gathered(setting, 0) + _exchanged(setting, setting.model.root),
        held + gradients + _step_bytes(setting, trained),
    )
    parts = {
        "weights": weights,
        "gradients": gradients,
        "unsharded gradients": whole,
        "optimizer": optimizer,
        "reference": reference,
        "activations": blocks + (one_block if setting.checkpointing else 0),
        "head": head,
        "temporary": max(copies, passing),
    }
    return Memory(parts, max(moments))


def _weights(setting: Setting) -> float:
    if setting.adapters is None:
        return 4 * setting.model.weights / setting.share
    return (_frozen(setting) + 4 * setting.adapters) / setting.share


def _reference(setting: Setting) -> float:
    if not setting.reference:
        return 0.0
    if not setting.refreshed:
        return _frozen(setting) / setting.share
    return 4 * setting.model.weights / setting.share


def _frozen(setting: Setting) -> int:
    """Returns the bytes of frozen weights: matrices in bfloat16, everything else in float32."""
    model = setting.model
    if setting.precision == "float32":
        return 4 * model.weights
    narrow = model.linear + (0 if model.tied else model.table)
    if setting.sharded:
        # Without sharding, autocast would not round experts, so they stay as they are.
        narrow += 3 * model.layers * model.experts * model.hidden * model.wide
    return 4 * model.weights - 2 * narrow


def _activations(setting: Setting) -> tuple[float, float]:
    """Returns the bytes of all activations of a micro-batch, and those of one block alone."""
    model, mode, row = setting.model, setting.mode, setting.row
    each = block_bytes(model, mode)
    kept = residual_bytes(model, mode) if setting.checkpointing else each
    return row * (model.layers * kept + outer_bytes(model, mode)), float(row * each)


def _head(setting: Setting) -> float:
    """Returns the bytes of a block of scores, and of the head's gradient before it is added."""
    model = setting.model
    scores = 8 * min(setting.row, HEAD_POSITIONS) * model.vocabulary
    gradient = 4 * model.table if setting.adapters is None else 0
    return float(min(HEAD_BUFFER, scores) + gradient)


def _copies(setting: Setting) -> float:
    """Returns the bytes of the bfloat16 copies of float32 weights that autocast keeps."""
    if setting.mode != "autocast" or setting.adapters is not None:
        return 0.0
    return 2.0 * setting.model.linear


def _passing(setting: Setting) -> float:
    """Returns the bytes that exist only while a block goes backward."""
    gradients = setting.row * backward_bytes(setting.model, setting.mode)
    if not setting.sharded:
        return float(gradients)
    block = setting.model.block
    gathered = _gathered(setting, 0) + _gathered(setting, GATHERED_BLOCKS)
    return gradients + gathered + _exchanged(setting, block)


def _gathered(setting: Setting, blocks: int) -> float:
    """Returns the bytes of gathered blocks; for 0 those of the embeddings and the output head."""
    if not setting.sharded:
        return 0.0
    each = 4 if setting.precision == "float32" else 2
    return float(each * (blocks * setting.model.block or setting.model.root))


def _exchanged(setting: Setting, weights: int) -> float:
    """Returns the bytes of a block's gradients, as computed and in the buffer of an exchange."""
    if not setting.sharded:
        return 0.0
    if setting.adapters is not None:
        weights = setting.adapters // setting.model.layers
    return float(weights * ((4 if setting.precision == "float32" else 2) + 4))


def _step_bytes(setting: Setting, trained: int) -> float:
    if setting.optimizer in FUSED:
        return 0.0
    if setting.sharded:
        return 4.0 * FOREACH_COPIES.get(setting.optimizer, 1) * setting.model.table / setting.share
    return 4.0 * FOREACH_COPIES.get(setting.optimizer, 1) * trained
