"""The forecast of a sampling stage for `halo plan`: what it needs on a device of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halo_core.stage import Forecast, Known
from halo_trainer.sample.lengths import sample_lengths
from halo_trainer.sizes.context import context_in
from halo_trainer.sizes.known import shape_of
from halo_trainer.sizes.sampling import SamplingSize, sampling_fit


@dataclass(frozen=True)
class Asked:
    """Options of a sampling stage that its size depends on. See the stage for their meaning."""

    precision: Literal["auto", "float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]
    batch_size: int
    samples_per_prompt: int
    processes: int
    tokens_at_once: int | None
    max_prompt_length: int | None
    max_new_tokens: int | None


def sampling_forecast(asked: Asked, prompts: int | None, known: Known) -> Forecast:
    """Returns what sampling needs on a device; nothing if the model's shape is not known.

    Args:
        asked: The stage's options.
        prompts: Number of prompts; None if it is not known yet.
        known: Known facts before it runs.

    Raises:
        UserError: When the lengths do not fit into the model's context.
    """
    shape = shape_of(known.models.get("from"), known.weights)
    if shape.architecture is None or asked.device == "cpu":
        return Forecast(weights=shape.weights)
    prompt, completion = sample_lengths(
        asked.max_prompt_length, asked.max_new_tokens, context_in(shape.config or {})
    )
    size = SamplingSize(
        model=shape.architecture,
        precision="float32" if asked.precision == "float32" else "bfloat16",
        batch=asked.batch_size,
        samples=asked.samples_per_prompt,
        prompt=prompt,
        completion=completion,
        prompts=prompts,
        limit=asked.tokens_at_once,
        processes=asked.processes,
    )
    return Forecast(weights=shape.weights, fit=sampling_fit(size, known.devices))
