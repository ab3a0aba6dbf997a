"""The arithmetic that a training step cannot avoid, and the rate of matrix products."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

SIZE = 2048
"""Rows and columns of the matrices whose product gives the rate."""


@dataclass(frozen=True)
class Model:
    """The sizes of a Llama.

    Attributes:
        hidden: Width of the hidden states.
        intermediate: Width of the feed-forward layers.
        layers: Number of layers.
        vocabulary: Number of tokens.
    """

    hidden: int
    intermediate: int
    layers: int
    vocabulary: int

    def body(self, tokens: int) -> float:
        """Returns the operations of the linear layers in one forward pass over some tokens."""
        weights = self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)
        return 2.0 * weights * tokens

    def attention(self, queries: int, before: int) -> float:
        """Returns the operations of attention for tokens that follow some others in a sequence."""
        seen = queries * before + queries * (queries + 1) / 2
        return 4.0 * self.layers * self.hidden * seen

    def head(self, positions: int) -> float:
        """Returns the operations of the output head at some positions."""
        return 2.0 * self.hidden * self.vocabulary * positions


@dataclass(frozen=True)
class Lengths:
    """The tokens of an example.

    Attributes:
        prompt: Number of tokens of the prompt.
        completions: Number of tokens of each completion.
        mismatched: Number of tokens of the completion that it is paired with, if any.
    """

    prompt: int
    completions: tuple[int, ...]
    mismatched: int | None = None


def operations(model: Model, examples: Sequence[Lengths], *, live_reference: bool) -> float:
    """Returns the operations that training on some examples cannot avoid.

    There is no padding, each prompt is computed once by each model, and only completion positions
    reach the output head. A backward pass takes twice the operations of a forward pass.

    Args:
        model: Sizes of policy and reference.
        examples: The examples.
        live_reference: Whether the reference is computed.
    """
    total = 0.0
    for example in examples:
        forward = model.body(example.prompt) + model.attention(example.prompt, 0)
        for tokens in example.completions:
            forward += _completion(model, tokens, example.prompt)
        other = 0.0
        if example.mismatched is not None:
            other = _completion(model, example.mismatched, example.prompt)
        total += 3 * forward + other + (forward + other if live_reference else 0.0)
    return total


def _completion(model: Model, tokens: int, prompt: int) -> float:
    return model.body(tokens - 1) + model.attention(tokens - 1, prompt) + model.head(tokens)


def matrix_rate(seconds: float = 1.0) -> float:
    """Returns the operations per second of a large product of matrices in float32."""
    left, right = (torch.randn(SIZE, SIZE) for _ in range(2))
    result: Any = left @ right
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(left, right, out=result)
        count += 1
    return count * 2 * SIZE**3 / (time.perf_counter() - start)
