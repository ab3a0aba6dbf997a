"""A training on the devices of a plan: memory, speed, whether it fits, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from halo_core.devices import Devices
from halo_core.fit import Change, Fit
from halo_trainer.sharding.choice import FILLED
from halo_trainer.sizes.architecture import Architecture
from halo_trainer.sizes.memory import Memory, Setting, exchange, held_bytes, memory_of
from halo_trainer.sizes.speed import (
    COMPLETION_TOKENS,
    UTILISATION,
    operations_per_second,
    passes,
    token_operations,
)

LARGEST_ROW = 65_536
"""Largest micro-batch that `micro_batch_tokens: auto` tries on a GPU, in tokens."""
SMALLEST_ROW = 128
"""Smallest micro-batch that it tries."""


@dataclass(frozen=True)
class TrainingSize:
    """The options of a training that its size depends on.

    Attributes:
        model: The architecture.
        optimizer: A name of `torch.optim`.
        reference: Whether a reference model is scored.
        refreshed: Whether it takes in the policy's weights.
        stored: Whether its log-probabilities are kept on disk.
        reference_point: Whether mismatched pairs are scored.
        adapters: Number of weights of low-rank factors; None if all weights are trained.
        checkpointing: Whether activations are computed twice.
        precision: Precision of matrix products on a GPU.
        processes: Number of processes on all machines.
        machines: Number of machines.
        sharding: The option.
        row: Largest number of tokens of a micro-batch, or ``auto``.
        batch_size: Number of examples per step.
        completions: Number of completions per example.
        longest: Largest number of tokens of a prompt with its completion.
        steps: Number of steps; None if it is not known yet.
    """

    model: Architecture
    optimizer: str
    reference: bool
    refreshed: bool
    stored: bool
    reference_point: bool
    adapters: int | None
    checkpointing: bool
    precision: Literal["float32", "bfloat16"]
    processes: int
    machines: int
    sharding: Literal["auto", "none", "full"]
    row: int | Literal["auto"]
    batch_size: int
    completions: int
    longest: int
    steps: int | None


@dataclass(frozen=True)
class Placed:
    """A training as it would be placed on devices.

    Attributes:
        setting: The setting of its memory.
        memory: Its memory.
    """

    setting: Setting
    memory: Memory

    @property
    def gigabytes(self) -> float:
        """The peak in GB, rounded up to a tenth."""
        return up(self.memory.peak / 1e9)


def up(value: float) -> float:
    """Returns a number rounded up to a tenth, so that a plan promises no room that does not exist.

    >>> up(71.91), up(72.0)
    (72.0, 72.0)
    """
    return ceil(round(value * 10, 6)) / 10


def place(size: TrainingSize, devices: Devices) -> Placed:
    """Returns a training as its options place it on devices.

    ``sharding: auto`` shards if weights, gradients, optimiser state and reference take more than
    `FILLED` of a device. It never shards a training with a store of the reference.
    ``micro_batch_tokens: auto`` takes the largest micro-batch that fits, or the smallest if none
    does.

    Args:
        size: The training.
        devices: The devices.
    """
    if size.processes == 1 or size.sharding == "none":
        return _with_row(size, devices, sharded=False)
    if size.sharding == "full":
        return _with_row(size, devices, sharded=True)
    whole = _with_row(size, devices, sharded=False)
    if not _can_shard(size) or held_bytes(whole.setting) <= FILLED * devices.gigabytes * 1e9:
        return whole
    return _with_row(size, devices, sharded=True)


def _can_shard(size: TrainingSize) -> bool:
    return not size.stored


def _with_row(size: TrainingSize, devices: Devices, *, sharded: bool) -> Placed:
    example = size.longest * size.completions
    step = ceil(size.batch_size / size.processes) * example
    rows = _rows(step) if size.row == "auto" else [size.row]
    for row in rows:
        # An example longer than the micro-batch is computed alone.
        setting = Setting(
            model=size.model,
            precision=size.precision,
            optimizer=size.optimizer,
            reference=size.reference,
            refreshed=size.refreshed,
            adapters=size.adapters,
            checkpointing=size.checkpointing,
            devices=size.processes,
            sharded=sharded,
            row=min(step, max(row, example)),
            step=step,
            device=devices.gigabytes * 1e9,
        )
        placed = Placed(setting, memory_of(setting))
        if size.row != "auto" or _auto_takes(placed, devices.usable):
            break
    return placed


def _auto_takes(placed: Placed, usable: float) -> bool:
    """Returns whether `micro_batch_tokens: auto` takes a micro-batch.

    Without sharding, it tries. With sharding, it counts, as if a step had several micro-batches.
    """
    if not placed.setting.sharded:
        return placed.gigabytes <= usable
    several = replace(placed.setting, step=placed.setting.step + 1)
    return memory_of(several).peak / 1e9 <= usable


def _rows(step: int) -> list[int]:
    rows = [LARGEST_ROW]
    while rows[-1] > SMALLEST_ROW:
        rows.append(rows[-1] // 2)
    return [row for row in rows if row // 2 < step] or [SMALLEST_ROW]


NO_EXCHANGE = "no time for exchanging gradients and weights beyond that of the computation"
"""An assumption about the time of several devices."""


def training_fit(size: TrainingSize, devices: Devices) -> Fit:
    """Returns what a training needs on devices, and what to change if it does not fit.

    Args:
        size: The training.
        devices: The devices.
    """
    placed = place(size, devices)
    enough = size.processes <= devices.count
    fits = enough and placed.gigabytes <= devices.usable
    seconds = step_seconds(size, devices)
    tokens = size.batch_size * size.completions * COMPLETION_TOKENS
    problem = "" if enough else f"{size.processes} processes need as many devices"
    return Fit(
        used=min(size.processes, devices.count),
        gigabytes=placed.gigabytes,
        usable=devices.usable,
        parts={name: up(part / 1e9) for name, part in placed.memory.parts.items() if part},
        fits=fits,
        tokens_per_second=tokens / seconds,
        hours=None if size.steps is None else size.steps * seconds / 3600,
        assumed=_assumed(size, placed.setting, devices),
        changes=() if fits else changes(size, devices),
        problem=problem,
    )


def step_seconds(size: TrainingSize, devices: Devices) -> float:
    """Returns the seconds of an optimiser step, with completions of the assumed length.

    It counts arithmetic only. The exchange of gradients, and of sharded weights, counts as if it
    happened during the computation; a slow network between devices takes longer.

    Args:
        size: The training.
        devices: The devices. A process without an example of the step computes nothing.
    """
    several = passes(
        reference=size.reference,
        reference_point=size.reference_point,
        checkpointing=size.checkpointing,
    )
    tokens = size.batch_size * size.completions * COMPLETION_TOKENS
    busy = min(size.processes, devices.count, size.batch_size)
    operations = tokens * several * token_operations(size.model.used, size.model)
    return operations / operations_per_second(devices, busy)


def _assumed(size: TrainingSize, setting: Setting, devices: Devices) -> Sequence[str]:
    rows = "several per step of" if setting.several else "all of a step's"
    choice = exchange(setting)
    return (
        f"{size.precision}, {100 * UTILISATION:.0f} % of {devices.tflops:g} TFLOPS per device",
        f"{COMPLETION_TOKENS} tokens per prompt with completion for the time, {size.longest:,} "
        "for the memory",
        f"micro-batches: {rows} {setting.row:,} tokens; sharding: "
        f"{'full' if setting.sharded else 'none'}",
        *([NO_EXCHANGE] if setting.devices > 1 else []),
        *([] if choice is None else [choice.reason]),
    )


def changes(size: TrainingSize, devices: Devices) -> list[Change]:
    """Returns changes that make a training smaller, each with what it gives, the smallest last.

    Args:
        size: A training that does not fit.
        devices: The devices.
    """
    found: dict[str, Change] = {}
    before = place(size, devices).gigabytes
    for options, candidate in _candidates(size, devices):
        options, changed = _whole_step(options, candidate, devices)
        gigabytes = place(changed, devices).gigabytes
        enough = changed.processes <= devices.count
        if gigabytes < before or (enough and size.processes > devices.count):
            fits = gigabytes <= devices.usable and enough
            found.setdefault(options, Change(options=options, gigabytes=gigabytes, fits=fits))
    more = _more_devices(size, devices)
    return [*found.values(), *([] if more is None else [more])]


def _whole_step(options: str, size: TrainingSize, devices: Devices) -> tuple[str, TrainingSize]:
    """Returns a change with the micro-batch that makes a step whole, if this takes less memory."""
    tokens = ceil(size.batch_size / size.processes) * size.longest * size.completions
    whole = replace(size, row=tokens)
    if place(whole, devices).gigabytes >= place(size, devices).gigabytes:
        return options, size
    return f"{options}, micro_batch_tokens: {tokens}", whole


def _candidates(size: TrainingSize, devices: Devices) -> list[tuple[str, TrainingSize]]:
    spread = replace(size, processes=max(2, devices.count), sharding="full")
    spreads = devices.count > 1 and _can_shard(size)
    every: list[tuple[str, TrainingSize]] = []
    if size.processes != devices.count:
        every.append((_processes(size, devices), replace(size, processes=devices.count)))
    if spreads:
        every.append((_spread(size, devices), spread))
    if not size.checkpointing:
        twice = replace(size, checkpointing=True)
        every.append(("gradient_checkpointing: true", twice))
        if spreads:
            both = replace(spread, checkpointing=True)
            every.append((f"{_spread(size, devices)}, gradient_checkpointing: true", both))
    every += _of_rows(size) + _of_models(size)
    return every


def _spread(size: TrainingSize, devices: Devices) -> str:
    more = size.processes != devices.count
    return f"{_processes(size, devices)}, sharding: full" if more else "sharding: full"


def _processes(size: TrainingSize, devices: Devices) -> str:
    return f"processes: {max(1, devices.count // size.machines)}"


def _of_rows(size: TrainingSize) -> list[tuple[str, TrainingSize]]:
    example = size.longest * size.completions
    step = ceil(size.batch_size / size.processes) * example
    found: list[tuple[str, TrainingSize]] = [
        (f"micro_batch_tokens: {tokens}", replace(size, row=tokens))
        for tokens in dict.fromkeys((step, example))
        if size.row != tokens
    ]
    shorter = size.longest // 2
    if shorter >= SMALLEST_ROW:
        text = f"max_length: {shorter} (cuts more rows)"
        found.append((text, replace(size, longest=shorter)))
    return found


def _of_models(size: TrainingSize) -> list[tuple[str, TrainingSize]]:
    found: list[tuple[str, TrainingSize]] = []
    # A training with sharded weights refuses these two.
    unshard = "sharding: none, " if size.sharding == "full" else ""
    whole = replace(size, sharding="none")
    if size.precision == "float32":
        found.append(("precision: bfloat16", replace(size, precision="bfloat16")))
    if size.reference and not size.stored:
        text = f"{unshard}reference_store: on (once another training has stored all of it)"
        found.append((text, replace(whole, reference=False)))
    for name in ("RMSprop", "SGD"):
        text = f"optimizer: {name} (learns in another way)"
        found.append((text, replace(size, optimizer=name)))
    if size.adapters is None:
        factors = lora_weights(size.model, 16)
        text = f"{unshard}lora: {{rank: 16}} (trains low-rank factors only)"
        found.append((text, replace(whole, adapters=factors)))
    return found


def _more_devices(size: TrainingSize, devices: Devices) -> Change | None:
    """Returns the smallest doubling of the machines on which sharding fits; None if none does."""
    count = max(devices.count, 1)
    for _ in range(8 if _can_shard(size) else 0):
        count *= 2
        if count > size.batch_size:
            break  # A process without an example is of no use.
        each = max(1, devices.count // size.machines)
        options = (
            f"machines: {count // each}, processes: {each}, sharding: full, "
            "gradient_checkpointing: true"
        )
        spread = replace(size, processes=count, sharding="full", checkpointing=True)
        options, changed = _whole_step(options, spread, devices)
        gigabytes = place(changed, devices).gigabytes
        if gigabytes <= devices.usable:
            return Change(options=options, gigabytes=gigabytes, fits=True)
    return None


def lora_weights(model: Architecture, rank: int) -> int:
    """Returns the number of weights of low-rank factors of all linear layers of the blocks.

    Each of the factors of a matrix [m, n] has `rank` rows of m or n weights.

    Args:
        model: The architecture. Experts have no factors.
        rank: The rank.
    """
    attention = 2 * (model.hidden + model.query) + 2 * (model.hidden + model.keys)
    if model.kind == "gpt_neox":
        attention = (model.hidden + 3 * model.query) + (model.hidden + model.query)
    pairs = 0 if model.experts else (2 if model.kind == "gpt_neox" else 3)
    return rank * model.layers * (attention + pairs * (model.hidden + model.wide))
