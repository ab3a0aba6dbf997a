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
        key_values: Width of the keys, and of the values; None if it is `hidden`.
    """

    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    key_values: int | None = None

    def body(self, tokens: int) -> float:
        """Returns the operations of the linear layers in one forward pass over some tokens."""
        key_values = self.hidden if self.key_values is None else self.key_values
        width = 2 * self.hidden + 2 * key_values + 3 * self.intermediate
        return 2.0 * self.layers * self.hidden * width * tokens

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


def operations(
    model: Model,
    examples: Sequence[Lengths],
    *,
    live_reference: bool,
    passes: float = 3,
) -> float:
    """Returns the operations that training on some examples cannot avoid.

    There is no padding, each prompt is computed once by each model, and only completion positions
    reach the output head. A backward pass takes twice the operations of a forward pass.

    Args:
        model: Sizes of policy and reference.
        examples: The examples.
        live_reference: Whether the reference is computed.
        passes: Operations of forward and backward pass, in forward passes: 3, or about 2 if only an
            adapter is trained, because the gradients of the other weights are not computed.
    """
    total = 0.0
    for example in examples:
        forward = model.body(example.prompt) + model.attention(example.prompt, 0)
        for tokens in example.completions:
            forward += _completion(model, tokens, example.prompt)
        other = 0.0
        if example.mismatched is not None:
            other = _completion(model, example.mismatched, example.prompt)
        total += passes * forward + other + (forward + other if live_reference else 0.0)
    return total


def _completion(model: Model, tokens: int, prompt: int) -> float:
    return model.body(tokens - 1) + model.attention(tokens - 1, prompt) + model.head(tokens)


def matrix_rate(
    seconds: float = 1.0,
    *,
    size: int = SIZE,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> float:
    """Returns the operations per second of a large product of matrices.

    Args:
        seconds: Least time of the measurement.
        size: Rows and columns of the matrices.
        device: The device.
        dtype: The dtype of the matrices.
    """
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    result: Any = left @ right
    _wait(device)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(1 if device == "cpu" else 10):
            torch.mm(left, right, out=result)
            count += 1
        _wait(device)
    return count * 2 * size**3 / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
