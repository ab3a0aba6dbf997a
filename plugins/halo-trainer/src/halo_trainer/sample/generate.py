"""A model's completions of a batch of prompts, token by token, and the choice of the next token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_trainer.sample.logit_watch import LogitWatch


@dataclass(frozen=True)
class Choice:
    """How the next token is chosen from a distribution.

    Attributes:
        temperature: Divisor of the logits. 0 takes the most probable token.
        top_p: Keeps the fewest most probable tokens whose probabilities reach this sum, (0, 1].
        top_k: Keeps this many most probable tokens. 0 keeps all.

    If tokens are equally probable, the first ones in the vocabulary are kept.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Generated:
    """A completion from a model.

    Attributes:
        token_ids: The token ids, without the token that ended the completion.
        finish: ``stop`` if the model ended it, ``length`` if it was cut off.
    """

    token_ids: list[int]
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class Sampler:
    """A model with everything that determines its completion of a prompt.

    Attributes:
        model: A transformers causal language model.
        ends: Ids of the tokens that end a completion.
        choice: How the next token is chosen.
        max_new_tokens: Length at which a completion is cut off.
        seed: Seed of the random numbers that tokens are drawn with.
        stopped: Whether to stop early. It is called after every token.
        together: Whether the prompts of a batch are computed together, or one after the other.
    """

    model: Any
    ends: Sequence[int]
    choice: Choice
    max_new_tokens: int
    seed: int
    stopped: Callable[[], bool] = lambda: False
    together: bool = True

    def batch(
        self,
        prompts: Sequence[tuple[str, Sequence[int]]],
        drew: Callable[[int], None] | None = None,
    ) -> list[Generated] | None:
        """Returns a completion of each prompt, or None if it stopped early.

        Args:
            prompts: Prompt id and token ids of each.
            drew: Receives 1 for each position at which tokens were drawn.

        Raises:
            NotFiniteError: When no token can be drawn from the model's logits.
        """
        answers: list[Generated] = []
        for group in [prompts] if self.together else [[prompt] for prompt in prompts]:
            made = self._answers(group, drew)
            if self.stopped():
                return None
            answers += map(self._ended, made.tolist())
        return answers

    def positions(self, prompts: int) -> int:
        """Returns the largest number of positions at which a batch of prompts draws tokens."""
        return self.max_new_tokens * (1 if self.together else prompts)

    def _answers(
        self, prompts: Sequence[tuple[str, Sequence[int]]], drew: Callable[[int], None] | None
    ) -> Tensor:
        numbers = np.stack([uniforms(self.seed, id_, self.max_new_tokens) for id_, _ in prompts])
        drawn = torch.from_numpy(numbers).to(self.model.device)
        watch = LogitWatch(len(prompts), self.ends, drawn.device)

        def choose_next(scores: Tensor, position: int) -> Tensor:
            tokens = choose(watch.see(scores, position), drawn[:, position], self.choice)
            watch.drew(tokens)
            if drew is not None:
                drew(1)
            return tokens

        made = go_on(
            self.model,
            [ids for _, ids in prompts],
            ends=self.ends,
            max_new_tokens=self.max_new_tokens,
            choose_next=choose_next,
            # On the device: generation looks there after every token anyway.
            stopped=lambda: watch.any() | self.stopped(),
        )
        if bad := watch.first():
            raise NotFiniteError(
                f"prompt {prompts[bad.row][0]}: the logits of token {bad.position + 1} of its "
                f"completion are {bad.what}; expected finite numbers. The model is damaged or its "
                "training diverged: train it again with a lower learning_rate, or sample with "
                "precision: float32"
            )
        return made

    def _ended(self, ids: list[int]) -> Generated:
        for position, token in enumerate(ids):
            if token in self.ends:
                return Generated(ids[:position], "stop")
        return Generated(ids, "length")


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


def uniforms(seed: int, prompt_id: str, count: int) -> npt.NDArray[np.float64]:
    """Returns one random number in [0, 1) per position of a completion [count].

    The number at a position depends only on the seed, the prompt and the position. It does not
    depend on `count`, the batch or the order of prompts.
    """
    stream = hashlib.shake_256(f"{seed}/{prompt_id}".encode()).digest(8 * count)
    bits = np.frombuffer(stream, dtype="<u8") >> np.uint64(12)
    # With 52 bits, a float64 sum times the largest number is less than the sum.
    return np.ldexp(bits.astype(np.float64), -52)


def choose(logits: Tensor, numbers: Tensor, choice: Choice) -> Tensor:
    """Returns the token at which each row's cumulative distribution exceeds its random number.

    Tokens are taken in the order of the vocabulary. So two tokens that are almost equally probable
    cannot swap places between batches.

    Args:
        logits: Scores of the next token [B, V].
        numbers: Random numbers in [0, 1), float64 [B].
        choice: Temperature, top-p and top-k. Top-k is applied before top-p.

    Returns:
        Token ids [B].

    References:
        Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, for top-p.
    """
    if choice.temperature == 0:
        return logits.argmax(-1)
    # In float64: in float32, rounding alone could push sums over a large vocabulary past a number.
    scaled = logits.double() / choice.temperature
    if 0 < choice.top_k < scaled.shape[-1]:
        largest = scaled.topk(choice.top_k).values
        scaled = scaled.masked_fill(~_first(scaled, largest, choice.top_k), -torch.inf)
    probabilities = scaled.softmax(-1)
    if choice.top_p < 1:
        probabilities = _nucleus(probabilities, choice.top_p)
    cumulative = probabilities.cumsum(-1)
    points = numbers.unsqueeze(-1) * cumulative[..., -1:]
    return (cumulative <= points).sum(-1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Returns probabilities with zeros except for the fewest tokens whose sum reaches `top_p`."""
    ordered = probabilities.sort(-1, descending=True).values
    mass_before = ordered.cumsum(-1) - ordered
    counts = (mass_before < top_p).sum(-1, keepdim=True)
    return probabilities.masked_fill(~_first(probabilities, ordered, counts), 0)


def _first(values: Tensor, ordered: Tensor, counts: int | Tensor) -> Tensor:
    """Returns which are the `counts` largest of each row, the first among equals [B, V] bool.

    Args:
        values: Values in the order of the vocabulary [B, V].
        ordered: At least `counts` of the values, the largest first [B, >= counts].
        counts: Number of values to keep, at least 1 [] or [B, 1].
    """
    places = torch.as_tensor(counts, device=values.device).expand(len(values), 1) - 1
    least = ordered.gather(-1, places)
    larger, equal = values > least, values == least
    room = counts - larger.sum(-1, keepdim=True)
    return larger | (equal & (equal.cumsum(-1) <= room))
