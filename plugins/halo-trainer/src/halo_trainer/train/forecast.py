"""The forecast of a training for `halo plan`: what it needs on the devices of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from halo_core.devices import Devices
from halo_core.fit import Fit
from halo_core.stage import Forecast, Known
from halo_trainer.sizes.architecture import Architecture
from halo_trainer.sizes.context import context_in
from halo_trainer.sizes.known import Shape, shape_of
from halo_trainer.sizes.memory import exchange, least_bytes
from halo_trainer.sizes.training import TrainingSize, lora_weights, place, training_fit, up
from halo_trainer.train.memory_and_time import Workload, checkpoint_bytes, steps_of

DEFAULT_LONGEST = 2048
"""Largest number of tokens of a sequence if the option is left out and the context allows it."""
CPU_ROW = 4096
"""Largest micro-batch that `micro_batch_tokens: auto` tries on a CPU."""


def training_forecast(work: Workload, known: Known) -> Forecast:
    """Returns the weights, their configuration, the sizes and the fit of a training.

    Args:
        work: The work of the training.
        known: Known facts before it runs.
    """
    shape = shape_of(known.models.get("from"), known.weights)
    if shape.weights is None:
        return Forecast(size={"memory": "unknown: the model is not here yet"}, config=shape.config)
    lines = {"weights": f"{shape.weights / 1e6:,.2f}M, {shape.source}"}
    fit = None
    if shape.architecture is None:
        fit, least = _least(shape.weights, work, known)
        lines["memory"] = least
    elif work.device == "cpu":
        lines["memory"] = _cpu_line(_size(shape.architecture, work, known, shape))
    else:
        size = _size(shape.architecture, work, known, shape)
        fit = training_fit(size, _devices(work, known))
    if work.copied:
        copy = checkpoint_bytes(shape.weights, work) / 1e9
        lines["host"] = f"{copy:.{1 if copy >= 1 else 3}f} GB for the copy of a checkpoint"
    return Forecast(weights=shape.weights, size=lines, config=shape.config, fit=fit)


def _devices(work: Workload, known: Known) -> Devices:
    """Returns the devices of all machines. Those of the plan are the devices of one."""
    return replace(known.devices, count=known.devices.count * work.machines)


def _size(model: Architecture, work: Workload, known: Known, shape: Shape) -> TrainingSize:
    precision: Literal["float32", "bfloat16"]
    precision = "float32" if work.precision == "float32" or work.device == "cpu" else "bfloat16"
    row = work.row
    if work.device == "cpu" and row == "auto":
        row = CPU_ROW
    return TrainingSize(
        model=model,
        optimizer=work.optimizer,
        reference=work.reference,
        refreshed=work.reference_updated,
        stored=work.stored,
        reference_point=work.reference_point,
        adapters=None if work.rank is None else lora_weights(model, work.rank),
        checkpointing=work.checkpointing,
        precision=precision,
        processes=work.processes,
        machines=work.machines,
        sharding=work.sharding,
        row=row,
        batch_size=work.batch_size,
        completions=work.completions,
        longest=_longest(work.longest, shape.config or {}),
        steps=steps_of(work, known.learned),
    )


def _longest(asked: int | None, config: Mapping[str, Any]) -> int:
    context = context_in(config)
    return asked or min(DEFAULT_LONGEST, context or DEFAULT_LONGEST)


def _cpu_line(size: TrainingSize) -> str:
    placed = place(size, Devices(size.processes, float("inf")))
    choice = exchange(placed.setting)
    assumed = "" if choice is None else f"; assumed: {choice.reason}"
    return (
        f"{up(placed.memory.peak / 1e9):.1f} GB of host memory for each of {size.processes} "
        f"processes, with micro-batches of {placed.setting.row:,} tokens{assumed}"
    )


def _least(weights: int, work: Workload, known: Known) -> tuple[Fit | None, str]:
    """Returns what a training needs at least, if only the number of its weights is known."""
    held = least_bytes(
        weights,
        optimizer=work.optimizer,
        reference=work.reference,
        trained=work.rank is None,
        devices=work.processes if work.sharding == "full" else 1,
    )
    least = up(held / 1e9)
    text = (
        f"at least {least:.1f} GB and activations; the model's config.json is not here, so they "
        "are unknown"
    )
    if work.device == "cpu":
        return None, text
    usable = known.devices.usable
    parts = {"weights, gradients, optimizer, reference": least}
    count = _devices(work, known).count
    fits = None if least <= usable and work.processes <= count else False
    used = min(work.processes, count)
    return Fit(used=used, gigabytes=least, usable=usable, parts=parts, fits=fits), text
