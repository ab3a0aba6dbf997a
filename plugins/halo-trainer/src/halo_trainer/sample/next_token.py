"""The choice of the next token from logits, and the random numbers that it is drawn with."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from halo_core.sampling import Sampling

LIKELY = 1024
"""Number of most probable tokens to look at before all are sorted. They mostly reach `top_p`."""


def uniforms(seed: int, prompt_id: str, count: int, sample: int = 0) -> npt.NDArray[np.float64]:
    """Returns one random number in [0, 1) per position of a completion [count].

    The number at a position depends only on the seed, the prompt, the sample and the position. It
    does not depend on `count`, the batch or the order of prompts.

    Args:
        seed: Seed of the stage.
        prompt_id: Id of the prompt.
        count: Number of positions.
        sample: Number of the completion among those of the prompt, from 0.
    """
    # The first completion has the numbers that it had when there was only one.
    name = f"{seed}/{prompt_id}" if sample == 0 else f"{seed}/{prompt_id}/{sample}"
    stream = hashlib.shake_256(name.encode()).digest(8 * count)
    bits = np.frombuffer(stream, dtype="<u8") >> np.uint64(12)
    # With 52 bits, a float64 sum times the largest number is less than the sum.
    return np.ldexp(bits.astype(np.float64), -52)


def choose(logits: Tensor, numbers: Tensor, choice: Sampling) -> Tensor:
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
    if probabilities.shape[-1] > LIKELY:
        ordered = probabilities.topk(LIKELY).values
        # A sort of a large vocabulary takes as long as a small model.
        if bool(((ordered.cumsum(-1) - ordered)[:, -1] >= top_p).all()):
            return _kept(probabilities, ordered, top_p)
    return _kept(probabilities, probabilities.sort(-1, descending=True).values, top_p)


def _kept(probabilities: Tensor, ordered: Tensor, top_p: float) -> Tensor:
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
