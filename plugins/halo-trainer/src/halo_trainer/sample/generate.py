"""Completions of left-padded prompts by transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def go_on(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    ends: Sequence[int],
    max_new_tokens: int,
    choose_next: Callable[[Tensor, int], Tensor],
    stopped: Callable[[], bool | Tensor] = lambda: False,
) -> Tensor:
    """Returns the tokens that a model writes after left-padded prompts [prompts, tokens].

    Args:
        model: A transformers causal language model.
        prompts: Token ids of each prompt.
        ends: Ids of the tokens that end a completion. The first one fills positions after an end.
        max_new_tokens: Largest number of tokens of a completion.
        choose_next: Takes logits [prompts, vocabulary] and the position in the completion, and
            returns the next token of each prompt [prompts].
        stopped: Whether to stop early. It is called after every token, and may return a tensor on
            the device [].
    """
    from transformers import GenerationConfig

    tokens, mask = _left_padded(prompts, ends[0])
    # Sampling settings in the model's folder must not mix with the stage's options.
    model.generation_config = GenerationConfig()
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
        use_cache=True,
    )
    with torch.inference_mode():
        output = model.generate(
            input_ids=tokens.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=[_Chosen(choose_next, tokens.shape[1])],
            stopping_criteria=[_Stopped(stopped)],
        )
    made: Tensor = output[:, tokens.shape[1] :].cpu()
    return made


class _Chosen:
    """Leaves only the chosen token possible, so that greedy decoding takes it."""

    def __init__(self, choose_next: Callable[[Tensor, int], Tensor], prompt_length: int) -> None:
        self._choose_next = choose_next
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = self._choose_next(scores, input_ids.shape[1] - self._prompt_length)
        only = torch.full_like(scores, -torch.inf)
        return only.scatter(1, tokens.unsqueeze(1), 0.0)


class _Stopped:
    """Ends all sequences when the stage is asked to stop."""

    def __init__(self, stopped: Callable[[], bool | Tensor]) -> None:
        self._stopped = stopped

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        going_on = torch.zeros(len(input_ids), device=input_ids.device, dtype=torch.bool)
        return going_on | self._stopped()


def _left_padded(prompts: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Returns token ids and attention mask [prompts, longest prompt]."""
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), padding)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, ids in enumerate(prompts):
        tokens[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    return tokens, mask
