"""Tests whether a model computes left-padded batches correctly."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_models.batch_probe import difference, in_float32, probe_ids
from halo_trainer.sample.generate import go_on

PROMPT_LENGTHS = (3, 17, 2, 8)
"""Lengths of the test prompts, in tokens."""

NEW_TOKENS = 6
"""Number of tokens after each prompt, so that the cache of earlier tokens is tested too."""

_REFUSED = (TypeError, ValueError, RuntimeError, IndexError)


def answers_together(
    model: Any,
    *,
    ends: Sequence[int],
    max_prompt_length: int,
    max_new_tokens: int,
    warn: Callable[[str], None],
) -> bool:
    """Returns whether left-padded prompts in a batch get the same logits as each prompt alone.

    Prompts of different lengths are continued with fixed tokens, together and one by one. The
    logits of every new token are compared with the model's logits for the whole sequence, as in
    training. This is done in float32, so that rounding cannot hide an error.

    A model whose logits are not finite cannot be compared. Its prompts are answered one at a
    time, and sampling reports the prompt whose logits are not finite.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        ends: See `Sampler`.
        max_prompt_length: Largest length of a prompt of the probe.
        max_new_tokens: Largest length of a completion of the probe.
        warn: Receives a warning if prompts will be answered one at a time.

    Raises:
        ModelError: When the logits of a single prompt are wrong too.
    """
    new_tokens = min(NEW_TOKENS, max_new_tokens)
    lengths = [min(n, max_prompt_length) for n in _lengths(model.config)]
    ids = probe_ids(model.config, [*lengths, *[new_tokens] * len(lengths)], without=ends)
    probe = _Probe(model, ids[: len(lengths)], torch.tensor(ids[len(lengths) :]), ends)
    gaps = in_float32(model, probe.gaps)
    if gaps is None:
        return False
    if gaps.alone is None:
        return True
    name = type(model).__name__
    if gaps.alone > gaps.rounding:
        raise ModelError(
            f"{name} gives other logits when it answers a prompt than for the same tokens in one "
            f"pass ({_words(gaps.alone, gaps.rounding)}), so its samples would be wrong; expected "
            "a causal language model that generates with a cache"
        )
    warn(
        f"{name} gives other logits for left-padded prompts in a batch than for each alone "
        f"({_words(gaps.together, gaps.rounding)}), so prompts are answered one at a time; the "
        "samples are right, but sampling is slower"
    )
    return False


@dataclass(frozen=True)
class _Gaps:
    """Differences of logits from those of one pass, relative to the largest.

    Attributes:
        together: Difference for prompts in a batch.
        alone: Difference for prompts one by one; None if the batch is right.
        rounding: Largest difference that counts as rounding.
    """

    together: float
    alone: float | None
    rounding: float


@dataclass(frozen=True)
class _Probe:
    """Prompts, and the fixed tokens after each [prompts, tokens]."""

    model: Any
    prompts: Sequence[Sequence[int]]
    forced: Tensor
    ends: Sequence[int]

    def gaps(self, rounding: float) -> _Gaps | None:
        """Returns the gaps, or None if the logits are not finite."""
        # This is first, because a model may keep a state.
        expected = torch.stack(list(map(self._whole, self.prompts, self.forced)))
        if not expected.amax(-1).isfinite().all():
            return None
        together = _gap(lambda: self._generated(self.prompts, self.forced), expected)
        if together <= rounding:
            return _Gaps(together, None, rounding)
        return _Gaps(together, _gap(self._one_by_one, expected), rounding)

    def _whole(self, prompt: Sequence[int], forced: Tensor) -> Tensor:
        """Returns the logits of the new tokens from one pass over all [tokens, vocabulary]."""
        tokens = torch.cat([torch.tensor(prompt), forced]).to(self.model.device)
        keep = len(forced) + 1
        # Otherwise a long prompt would have logits for each of its tokens, which are not needed.
        few = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        options = {"logits_to_keep": keep} if few else {}
        logits: Tensor = self.model(input_ids=tokens[None], use_cache=False, **options).logits[0]
        return logits[-keep:-1].float()

    def _generated(self, prompts: Sequence[Sequence[int]], forced: Tensor) -> Tensor:
        """Returns the logits of the new tokens as in sampling [prompts, tokens, V]."""
        seen: list[Tensor] = []

        def take(scores: Tensor, position: int) -> Tensor:
            seen.append(scores.float())
            return forced[:, position].to(scores.device)

        steps = forced.shape[1]
        go_on(self.model, prompts, ends=self.ends, max_new_tokens=steps, choose_next=take)
        return torch.stack(seen, dim=1)

    def _one_by_one(self) -> Tensor:
        pairs = zip(self.prompts, self.forced, strict=True)
        return torch.cat([self._generated([prompt], forced[None]) for prompt, forced in pairs])


def _lengths(config: Any) -> list[int]:
    """Returns the lengths to test. If possible, one is longer than the window of a token."""
    text = config.get_text_config()
    windows = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    longest = max(PROMPT_LENGTHS)
    window = max([longest, *(w + 5 for w in windows if w)])
    return [window if n == longest else n for n in PROMPT_LENGTHS]


def _gap(logits: Callable[[], Tensor], expected: Tensor) -> float:
    try:
        return difference(logits(), expected)
    except torch.OutOfMemoryError:
        raise
    except _REFUSED:
        return float("inf")


def _words(gap: float, rounding: float) -> str:
    if gap == float("inf"):
        return "it fails, or the logits are not numbers"
    return f"the difference is {gap:.2g} of the largest, where {rounding:g} would be rounding"
