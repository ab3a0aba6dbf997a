"""Sampling on a device of a plan: memory, speed, whether it fits, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from halo_core.devices import Devices
from halo_core.fit import Change, Fit
from halo_trainer.sizes.architecture import Architecture
from halo_trainer.sizes.speed import UTILISATION, operations_per_second, token_operations
from halo_trainer.sizes.training import up

CHOICE_COPIES = 8
"""Number of float32 values per token of the vocabulary while a token is chosen: the scores as given
and as processed, sorted with their places (8 bytes each), and their running sums."""

PROMPT_TOKENS = 4096
"""Largest number of tokens of prompts that are computed in one pass, unless one prompt has more."""


@dataclass(frozen=True)
class SamplingSize:
    """The options of a sampling stage that its size depends on.

    Attributes:
        model: The architecture.
        precision: Precision of weights and computation.
        batch: Number of prompts per batch.
        samples: Number of completions of a prompt.
        prompt: Largest number of tokens of a prompt.
        completion: Largest number of tokens of a completion.
        prompts: Number of prompts; None if it is not known yet.
        limit: Largest number of tokens in memory at once; None for a whole batch.
        processes: Number of processes, each with a model and its share of the batches.
    """

    model: Architecture
    precision: Literal["float32", "bfloat16"]
    batch: int
    samples: int
    prompt: int
    completion: int
    prompts: int | None
    limit: int | None
    processes: int = 1

    @property
    def number(self) -> int:
        """Bytes of a number."""
        return 4 if self.precision == "float32" else 2

    @property
    def one(self) -> int:
        """Tokens of one prompt with all its completions, which are always in memory together."""
        return self.samples * (self.prompt + self.completion)

    @property
    def tokens(self) -> int:
        """Largest number of tokens in memory at once."""
        whole = self.batch * self.one
        return whole if self.limit is None else max(self.one, min(whole, self.limit))

    @property
    def rows(self) -> int:
        """Number of completions that are written at the same time."""
        return max(1, self.tokens // (self.prompt + self.completion))

    @property
    def token_cache(self) -> int:
        """Bytes of the keys and values of a token."""
        return 2 * self.model.layers * self.model.keys * self.number


def sampling_fit(size: SamplingSize, devices: Devices) -> Fit:
    """Returns what sampling needs on each device, and what to change if it does not fit.

    A sampling that runs out of memory continues with half as many tokens at once. So the plan is
    made for the number that fits, and the assumptions tell it.

    Args:
        size: The sampling.
        devices: The devices, of which each process uses one.
    """
    fitting = _halved(size, devices)
    parts = _parts(fitting)
    gigabytes = up(sum(parts.values()) / 1e9)
    seconds = pass_seconds(fitting, devices)
    hours = None
    if fitting.prompts is not None:
        busy = min(fitting.processes, devices.count, max(1, ceil(fitting.prompts / size.batch)))
        mine = ceil(fitting.prompts / busy)
        passes = ceil(mine * fitting.samples / fitting.rows) * fitting.completion
        hours = (passes * seconds + _prompt_seconds(fitting, devices) / busy) / 3600
    enough = size.processes <= devices.count
    fits = enough and gigabytes <= devices.usable
    halved = fitting.tokens < size.tokens
    at_once = f"tokens_at_once: {fitting.tokens}" + (" (a whole batch does not fit)" * halved)
    return Fit(
        used=min(size.processes, devices.count),
        gigabytes=gigabytes,
        usable=devices.usable,
        parts={name: up(part / 1e9) for name, part in parts.items()},
        fits=fits,
        tokens_per_second=min(size.processes, devices.count) * fitting.rows / seconds,
        hours=hours,
        assumed=(
            f"{size.precision}, {100 * UTILISATION:.0f} % of {devices.bandwidth:,g} GB/s, every "
            f"prompt of {size.prompt:,} and completion of {size.completion:,} tokens",
            at_once,
        ),
        changes=() if fits else _changes(fitting, devices),
        problem="" if enough else f"{size.processes} processes need as many devices",
    )


def pass_seconds(size: SamplingSize, devices: Devices) -> float:
    """Returns the seconds until each completion in memory has one more token.

    All weights and keys are read from memory. Keys count as if each completion were at its longest.

    Args:
        size: The sampling.
        devices: The devices.
    """
    read = size.number * size.model.weights + size.tokens * size.token_cache
    return read / (UTILISATION * devices.bandwidth * 1e9)


def _halved(size: SamplingSize, devices: Devices) -> SamplingSize:
    """Returns a sampling with as many tokens at once as it has after running out of memory."""
    while sum(_parts(size).values()) / 1e9 > devices.usable and size.tokens > size.one:
        size = replace(size, limit=max(size.one, size.tokens // 2))
    return size


def _prompt_seconds(size: SamplingSize, devices: Devices) -> float:
    tokens = (size.prompts or 0) * size.prompt
    operations = token_operations(size.model.used, size.model, length=size.prompt)
    return tokens * operations / operations_per_second(devices, 1)


def _parts(size: SamplingSize) -> dict[str, float]:
    model = size.model
    # Prompts are computed at once: states of a block, and their keys until these are in place.
    inner = max(1, model.chosen) * 3 * model.wide + 5 * model.query + 3 * model.hidden
    token = size.number * inner + 4 * 2 * model.hidden + size.token_cache
    prompts = max(1, size.tokens // size.one)
    at_once = min(prompts * size.prompt, max(PROMPT_TOKENS, size.prompt))
    cache = float(size.tokens * size.token_cache)
    choice = size.rows * model.vocabulary * 4 * CHOICE_COPIES
    # The keys of a layer are copied when they need more room.
    growth = 2 * cache / model.layers
    return {
        "weights": float(size.number * model.weights),
        "cache": cache,
        "temporary": max(float(at_once * token), choice + growth),
    }


def _changes(size: SamplingSize, devices: Devices) -> Sequence[Change]:
    candidates = []
    if size.processes > devices.count:
        fewer = replace(size, processes=devices.count)
        candidates.append((f"processes: {devices.count}", fewer))
    if size.precision == "float32":
        candidates.append(("precision: bfloat16", replace(size, precision="bfloat16")))
    if size.samples > 1:
        single = replace(size, samples=1, limit=None)
        candidates.append(("samples_per_prompt: 1 (fewer samples)", single))
    found = []
    for options, changed in candidates:
        gigabytes = up(sum(_parts(_halved(changed, devices)).values()) / 1e9)
        fits = gigabytes <= devices.usable and changed.processes <= devices.count
        found.append(Change(options=options, gigabytes=gigabytes, fits=fits))
    if not any(change.fits for change in found):
        least = up(2 * size.model.weights / 1e9)
        options = f"devices with more memory: the weights alone take {least:.1f} GB in bfloat16"
        found.append(Change(options=options, gigabytes=least, fits=False))
    return found
