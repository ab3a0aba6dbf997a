"""The largest number of tokens of a prompt and of a completion. It needs no torch."""

from __future__ import annotations

from halo_core.errors import UserError

LONGEST = 2048
"""Largest number of tokens of prompt and completion, if no option or model has a smaller limit."""


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
    if max_new_tokens is not None and context is not None and max_new_tokens >= context:
        raise UserError(
            f"a completion of {max_new_tokens} tokens does not fit into the {context} tokens that "
            "the model can take, with a prompt before it. Lower max_new_tokens"
        )
    if prompt < 1 or completion < 1 or (context is not None and prompt + completion > context):
        raise UserError(
            f"a prompt of {max(prompt, 0)} and a completion of {max(completion, 0)} tokens do not "
            f"fit into the {context or longest} tokens that the model can take. Lower "
            "max_prompt_length or max_new_tokens"
        )
    return prompt, completion
