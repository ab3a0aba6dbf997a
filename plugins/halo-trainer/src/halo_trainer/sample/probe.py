"""Tests which ways of answering several prompts give the logits of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_models.batch_probe import difference, in_float32, probe_ids
from halo_trainer.sample.decode import decode
from halo_trainer.sample.generate import go_on
from halo_trainer.sample.key_blocks import use_decoding_attention
from halo_trainer.sample.sampler import Route

PROMPT_LENGTHS = (3, 17, 2, 8)
"""Lengths of the test prompts, in tokens."""

NEW_TOKENS = 6
"""Number of tokens after each prompt, so that the cache of earlier tokens is tested too."""

COPIES = 2
"""Number of completions of each test prompt without padding, which share their prompt."""

_REFUSED = (TypeError, ValueError, RuntimeError, IndexError, KeyError)


def find_route(
    model: Any,
    *,
    ends: Sequence[int],
    max_prompt_length: int,
    max_new_tokens: int,
    warn: Callable[[str], None],
) -> Route:
    """Returns the fastest way that gives the logits of the model, and sets the model up for it.

    Prompts of different lengths are continued with fixed tokens: packed, left-padded in a batch,
    and one by one. The logits of every new token are compared with the model's logits for the
    whole sequence, as in training. This is done in float32, so that rounding cannot hide an error.

    A model whose logits are not finite cannot be compared. Its prompts are answered one at a
    time, and sampling reports the prompt whose logits are not finite.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        ends: See `Sampler`.
        max_prompt_length: Largest length of a prompt of the probe.
        max_new_tokens: Largest length of a completion of the probe.
        warn: Receives a warning if prompts are padded or answered one at a time.

    Raises:
        ModelError: When the logits of a single prompt are wrong too.
    """
    new_tokens = min(NEW_TOKENS, max_new_tokens)
    lengths = [min(n, max_prompt_length) for n in _lengths(model.config)]
    count = COPIES * len(lengths)
    ids = probe_ids(model.config, [*lengths, *[new_tokens] * count], without=ends)
    probe = _Probe(model, ids[: len(lengths)], torch.tensor(ids[len(lengths) :]), ends)
    gaps = in_float32(model, probe.gaps)
    name = type(model).__name__
    if gaps is None:
        return "single"
    if gaps.packed <= gaps.rounding:
        return "packed"
    if gaps.together <= gaps.rounding:
        warn(
            f"{name} gives other logits for prompts without padding than for each alone "
            f"({_words(gaps.packed, gaps.rounding)}), so prompts are padded and transformers' "
            "generate writes the completions; the samples are right, but sampling is slower"
        )
        return "padded"
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
    return "single"


@dataclass(frozen=True)
class _Gaps:
    """Differences of logits from those of one pass, relative to the largest.

    A way that is slower than one that is right is not tried; its difference is 0.

    Attributes:
        packed: Difference for prompts without padding.
        together: Difference for padded prompts in a batch.
        alone: Difference for prompts one by one.
        rounding: Largest difference that counts as rounding.
    """

    packed: float
    together: float
    alone: float
    rounding: float


@dataclass(frozen=True)
class _Probe:
    """Prompts, and the fixed tokens of each of their completions [prompts * COPIES, tokens]."""

    model: Any
    prompts: Sequence[Sequence[int]]
    forced: Tensor
    ends: Sequence[int]

    def gaps(self, rounding: float) -> _Gaps | None:
        """Returns the gaps, or None if the logits are not finite."""
        # This is first, because a model may keep a state.
        copied = [prompt for prompt in self.prompts for _ in range(COPIES)]
        expected = torch.stack(list(map(self._whole, copied, self.forced)))
        if not expected.amax(-1).isfinite().all():
            return None
        original = self.model.config._attn_implementation
        packed = self._packed_gap(expected)
        if packed <= rounding:
            return _Gaps(packed, 0.0, 0.0, rounding)
        if self.model.config._attn_implementation != original:
            self.model.set_attn_implementation(original)
        prompts, forced = self.prompts, self.forced[::COPIES]
        together = _gap(lambda: self._generated(prompts, forced), expected[::COPIES])
        if together <= rounding:
            return _Gaps(packed, together, 0.0, rounding)
        return _Gaps(packed, together, _gap(self._one_by_one, expected[::COPIES]), rounding)

    def _packed_gap(self, expected: Tensor) -> float:
        if not use_decoding_attention(self.model):
            return float("inf")
        counted = torch.ones(expected.shape[:2], dtype=torch.bool, device=expected.device)
        # The last completion ends after two tokens, which must not change the others.
        counted[-1, 2:] = False
        return _gap(lambda: self._packed(counted, expected)[counted], expected[counted])

    def _packed(self, counted: Tensor, like: Tensor) -> Tensor:
        """Returns the logits of the new tokens without padding [completions, tokens, V].

        Args:
            counted: The tokens of each completion before its end [completions, tokens].
            like: Logits of this shape.
        """
        found = torch.zeros_like(like)
        tokens = self.forced.to(like.device).clone()
        # The logits of a token are counted, and the next ones are not if this token is an end.
        tokens[:, :-1][~counted[:, 1:]] = self.ends[0]

        def take(logits: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
            found[rows, positions] = logits.float()
            return tokens[rows, positions]

        decode(
            self.model,
            self.prompts,
            samples=COPIES,
            ends=self.ends,
            max_new_tokens=like.shape[1],
            choose_next=take,
        )
        return found

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
        pairs = zip(self.prompts, self.forced[::COPIES], strict=True)
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
