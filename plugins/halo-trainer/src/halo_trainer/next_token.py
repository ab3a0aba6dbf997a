"""Chooses the next token of each sequence, from numbers that belong to its prompt alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Choice:
    """How a token is chosen from a distribution.

    Attributes:
        temperature: Divides the logits; 0 takes the most probable token.
        top_p: Keeps the fewest most probable tokens whose probabilities reach this sum, (0, 1].
        top_k: Keeps this many most probable tokens; 0 keeps all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def uniforms(seed: int, prompt_id: str, count: int) -> npt.NDArray[np.float64]:
    """Returns one number in [0, 1) per position of a completion [count].

    The number at a position depends on the seed, the prompt and the position, and on nothing
    else: not on `count`, the batch or the order of prompts.
    """
    stream = hashlib.shake_256(f"{seed}/{prompt_id}".encode()).digest(8 * count)
    bits = np.frombuffer(stream, dtype="<u8") >> np.uint64(12)
    # 52 bits: a float64 sum times the largest of them is less than the sum.
    return np.ldexp(bits.astype(np.float64), -52)


def choose(logits: Tensor, numbers: Tensor, choice: Choice) -> Tensor:
    """Returns the token where each row's cumulative distribution passes its number.

    Tokens are taken in the order of the vocabulary, so that two that are almost equally probable
    cannot change places between batches.

    Args:
        logits: Of the next token [B, V].
        numbers: In [0, 1), float64 [B].
        choice: Temperature, top-p and top-k; top-k comes first.

    Returns:
        Token ids [B].

    References:
        Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, for top-p.
    """
    if choice.temperature == 0:
        return logits.argmax(-1)
    scaled = logits.double() / choice.temperature
    if 0 < choice.top_k < scaled.shape[-1]:
        least = scaled.topk(choice.top_k).values[..., -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    probabilities = scaled.softmax(-1)
    if choice.top_p < 1:
        probabilities = _nucleus(probabilities, choice.top_p)
    cumulative = probabilities.cumsum(-1)
    points = numbers.unsqueeze(-1) * cumulative[..., -1:]
    return (cumulative <= points).sum(-1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Returns probabilities with the tail set to 0; tokens tied with the last kept one stay."""
    ordered = probabilities.sort(-1, descending=True).values
    mass_before = ordered.cumsum(-1) - ordered
    least = ordered.masked_fill(mass_before >= top_p, torch.inf).amin(-1, keepdim=True)
    return probabilities.masked_fill(probabilities < least, 0)
