"""The options of a sampling stage as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halo_core.errors import UserError
from halo_models.conversation import ChatOptions
from halo_trainer.sample.endpoint_options import EndpointOptions
from halo_trainer.sample.next_token import Choice

LONGEST = 2048
"""Largest number of tokens of prompt and completion, if no option or model has a smaller limit."""


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
        engine: The library that computes them.
        endpoint: A server that writes the completions; None to compute them here.
        api_key_env: The environment variable of its key; None for no key.
        requests_at_once: Largest number of prompts that it is asked about at once.
    """

    n: int | None
    choice: Choice
    max_new_tokens: int | None
    max_prompt_length: int | None
    samples_per_prompt: int
    batch_size: int
    tokens_at_once: int | None
    template: str | None
    chat: ChatOptions
    precision: Literal["auto", "float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]
    engine: Literal["transformers", "vllm"] = "transformers"
    endpoint: EndpointOptions | None = None
    api_key_env: str | None = None
    requests_at_once: int = 8


def sample_lengths(
    max_prompt_length: int | None, max_new_tokens: int | None, context: int | None
) -> tuple[int, int]:
    """Returns the largest number of tokens of a prompt and of a completion.

    A prompt gets half of the total, as in training, or the rest after `max_new_tokens` if that is
    less. A completion gets the rest.

    Args:
        max_prompt_length: The option `max_prompt_length`.
        max_new_tokens: The option `max_new_tokens`.
        context: Number of tokens that the model can take, if known.

    Raises:
        UserError: When both together are longer than the model's context.
    """
    longest = min(LONGEST, context or LONGEST)
    prompt = max_prompt_length or min(longest // 2, (context or LONGEST) - (max_new_tokens or 1))
    completion = max_new_tokens or longest - prompt
    if prompt < 1 or completion < 1 or (context is not None and prompt + completion > context):
        raise UserError(
            f"a prompt of {max(prompt, 0)} and a completion of {max(completion, 0)} tokens do not "
            f"fit into the {context or longest} tokens that the model can take. Lower "
            "max_prompt_length or max_new_tokens"
        )
    return prompt, completion
