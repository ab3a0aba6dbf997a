"""The options of a sampling stage as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halo_core.hashing import short_hash
from halo_core.sampling import Sampling
from halo_models.conversation import ChatOptions
from halo_trainer.sample.endpoint_options import EndpointOptions


@dataclass(frozen=True)
class SampleRecipe:
    """The task of a sampling stage, as plain values.

    Attributes:
        n: Largest number of distinct prompts; None for all.
        choice: How the next token is chosen.
        max_new_tokens: Largest number of tokens of a completion; None for the default.
        max_prompt_length: Largest number of tokens of a prompt; None for the default.
        samples_per_prompt: Number of completions of each prompt.
        batch_size: Number of prompts per batch.
        tokens_at_once: Largest number of tokens of prompts and completions in memory at once; None
            for no limit.
        template: Chat template; None for the tokenizer's own.
        chat: Options for converting rows to text.
        precision: Precision of weights and computation.
        device: The device to compute on.
        processes: Number of processes that share the batches.
        engine: The library that computes them.
        endpoint: A server that writes the completions; None to compute them here.
        api_key_env: The environment variable of its key; None for no key.
        requests_at_once: Largest number of prompts that it is asked about at once.
        draw: Number of the draw; see `seed_of_draw`.
    """

    n: int | None
    choice: Sampling
    max_new_tokens: int | None
    max_prompt_length: int | None
    samples_per_prompt: int
    batch_size: int
    tokens_at_once: int | None
    template: str | None
    chat: ChatOptions
    precision: Literal["auto", "float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]
    processes: int = 1
    engine: Literal["transformers", "vllm"] = "transformers"
    endpoint: EndpointOptions | None = None
    api_key_env: str | None = None
    requests_at_once: int = 8
    draw: int = 0

    @property
    def known_sampling(self) -> Sampling | None:
        """How tokens are drawn, for the lines of samples.

        None for a server that is not vLLM: it may add options of its own to those that it is sent.
        """
        other = self.endpoint is not None and self.endpoint.server == "other"
        return None if other else self.choice


def seed_of_draw(seed: int, draw: int) -> int:
    """Returns the seed of a draw: that of the run for draw 0, as before there were several draws.

    Args:
        seed: Seed of the run.
        draw: Number of the draw.

    >>> seed_of_draw(7, 0), seed_of_draw(7, 1) == seed_of_draw(7, 2)
    (7, False)
    """
    if draw == 0:
        return seed
    return int(short_hash(f"draw/{seed}/{draw}", 12), 16)
