"""Log-probabilities of a linear output head in blocks, and their gradients.

A block has some positions and a part of the vocabulary. The scores of all blocks never exist at the
same time, so memory does not grow with positions times vocabulary. The backward pass computes the
scores of a block again, unless all of them are small enough to be kept. Parts of the vocabulary are
the inner loop, so each weight is read once, and its gradient is written once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BUFFER_BYTES = 64 * 2**20
"""Largest number of bytes of buffers that have a size of positions times vocabulary."""

POSITIONS = 4096
"""Largest number of positions of a block."""


@dataclass(frozen=True)
class LogitTransform:
    """The change that a model makes to the scores of its output head: cap * tanh(scale * s / cap).

    Attributes:
        scale: Factor of the scores.
        cap: Bound of the scores; None for none.
    """

    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, config: Any) -> LogitTransform:
        """Returns the transform that a model's configuration describes.

        It may be wrong for a model of an unknown kind, so the result must be compared with the
        model's own logits.
        """
        text = config.get_text_config()
        scale = float(getattr(text, "logit_scale", None) or 1.0)
        scale /= float(getattr(text, "logits_scaling", None) or 1.0)
        cap = getattr(text, "final_logit_softcapping", None)
        return cls(scale, None if cap is None else float(cap))

    def apply(self, scores: Tensor) -> Tensor:
        """Returns transformed scores, of the shape of the scores."""
        scores = scores if self.scale == 1 else scores * self.scale
        return scores if self.cap is None else self.cap * torch.tanh(scores / self.cap)

    def apply_(self, scores: Tensor) -> Tensor:
        """Transforms scores in place, and returns them."""
        if self.scale != 1:
            scores.mul_(self.scale)
        if self.cap is not None:
            scores.div_(self.cap).tanh_().mul_(self.cap)
        return scores

    def slope(self, transformed: Tensor) -> Tensor | None:
        """Returns the derivative of the cap at transformed scores; None if there is no cap."""
        return None if self.cap is None else (transformed / self.cap).square_().neg_().add_(1)


@dataclass(frozen=True)
class LinearHead:
    """The weights of a linear output head, and how its scores are computed.

    Attributes:
        weight: The weights [V, D].
        bias: The bias [V]; None if there is none.
        transform: The change that the model makes to the head's scores.
        compute_dtype: The dtype of matrix products.
    """

    weight: Tensor
    bias: Tensor | None
    transform: LogitTransform
    compute_dtype: torch.dtype

    def rows(self, positions: int) -> int:
        """Returns the number of positions of a block."""
        return max(1, min(positions, POSITIONS))

    def parts(self, positions: int) -> Iterator[tuple[int, int]]:
        """Yields the parts of the vocabulary, as first token and token after the last one.

        Args:
            positions: Number of positions of a block.
        """
        vocabulary = len(self.weight)
        size = max(1, BUFFER_BYTES // (bytes_per_score(self) * positions))
        return ((i, min(i + size, vocabulary)) for i in range(0, vocabulary, size))

    def scores(self, states: Tensor, start: int, stop: int) -> Tensor:
        """Returns new transformed scores of a part of the vocabulary, float32 [n, stop - start].

        Args:
            states: Hidden states of n positions [n, D].
            start: First token of the part.
            stop: Token after its last one.
        """
        # The products are those of autocast. Nothing else has the scores, so they can be changed.
        weight = self.weight[start:stop].to(self.compute_dtype)
        bias = None if self.bias is None else self.bias[start:stop].to(self.compute_dtype)
        scores = torch.nn.functional.linear(states.to(self.compute_dtype), weight, bias)
        return self.transform.apply_(scores.float())


def bytes_per_score(head: LinearHead) -> int:
    """Returns the bytes of all buffers for one position and one token of the vocabulary."""
    # The scores in the compute dtype, in float32, and their gradient for the matrix products.
    each = 4 if head.compute_dtype == torch.float32 else 2 + 4 + 2
    # The slope of a cap has a buffer of its own.
    return each if head.transform.cap is None else each + 4


def linear_logps(head: LinearHead, states: Tensor, targets: Tensor) -> Tensor:
    """Returns the log-probability of each target, nats, float32 [N].

    Args:
        head: The output head.
        states: Hidden states of the model's body [N, D].
        targets: The tokens [N].
    """
    settings = head.transform, head.compute_dtype
    values: Tensor = _Logps.apply(settings, targets, states, head.weight, head.bias)  # type: ignore[no-untyped-call]
    return values


class _Logps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, settings: Any, targets: Tensor, states: Tensor, weight: Tensor, bias: Any
    ) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            head = LinearHead(weight, bias, *settings)
            small = len(states) * len(weight) * (4 + 4) <= BUFFER_BYTES
            kept = any(ctx.needs_input_grad) and small and head.transform.cap is None
            logps, normalisers, exps = _forward(head, states, targets, whole=kept)
        ctx.settings = settings
        ctx.exps = exps if kept else None
        ctx.save_for_backward(states, targets, normalisers, weight, bias)
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, targets, normalisers, weight, bias = ctx.saved_tensors
        of_states, of_weight, of_bias = (
            torch.zeros_like(tensor, dtype=torch.float32) if needed else None
            for tensor, needed in zip((states, weight, bias), ctx.needs_input_grad[2:], strict=True)
        )
        head = LinearHead(weight, bias, *ctx.settings)
        positions = head.rows(len(states))
        for first in range(0, len(states), positions):
            rows = slice(first, first + positions)
            inputs = states[rows].to(head.compute_dtype)
            parts = head.parts(len(inputs)) if ctx.exps is None else [(0, len(weight))]
            for start, stop in parts:
                grad = _grad_scores(
                    head,
                    ctx.exps,
                    inputs,
                    targets[rows],
                    normalisers[rows],
                    grads[0][rows],
                    start,
                    stop,
                ).to(head.compute_dtype)
                if of_states is not None:
                    _add_product(of_states[rows], grad, weight[start:stop].to(head.compute_dtype))
                if of_weight is not None:
                    _add_product(of_weight[start:stop], grad.T, inputs)
                if of_bias is not None:
                    of_bias[start:stop] += grad.sum(0)
        return (
            None,
            None,
            *(
                None if gradient is None else gradient.to(tensor.dtype)
                for gradient, tensor in (
                    (of_states, states),
                    (of_weight, weight),
                    (of_bias, bias),
                )
            ),
        )


def _forward(
    head: LinearHead, states: Tensor, targets: Tensor, *, whole: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns log-probabilities, log-sums of exponentials, and the exponentials of the last block.

    If there is one block, its exponentials are relative to the log-sum.
    """
    logps, normalisers, exps = [], [], None
    positions = len(states) if whole else head.rows(len(states))
    for part, tokens in zip(
        torch.split(states, positions), torch.split(targets, positions), strict=True
    ):
        # Not minus infinity, which may be the score of all tokens of a block.
        least = torch.finfo(torch.float32).min
        top = part.new_full((len(part),), least, dtype=torch.float32)
        total, at_targets = torch.zeros_like(top), torch.zeros_like(top)
        for start, stop in [(0, len(head.weight))] if whole else head.parts(len(part)):
            scores = head.scores(part, start, stop)
            places = (tokens - start).clamp(0, stop - start - 1)
            inside = (tokens >= start) & (tokens < stop)
            # Not a product with `inside`: the score of a token that is ruled out is minus infinity.
            at_targets += torch.where(inside, scores.gather(1, places[:, None])[:, 0], 0)
            above = torch.maximum(top, scores.amax(1))
            exps = scores.sub_(above[:, None]).exp_()
            total = total * (top - above).exp_() + exps.sum(1)
            top = above
        logps.append(at_targets - top - total.log())
        normalisers.append(total if whole else total.log() + top)
    return torch.cat(logps), torch.cat(normalisers), exps


def _grad_scores(
    head: LinearHead,
    exps: Tensor | None,
    states: Tensor,
    targets: Tensor,
    normalisers: Tensor,
    grad: Tensor,
    start: int,
    stop: int,
) -> Tensor:
    """Returns the gradient of the head's scores of a block, before the transform, float32."""
    slope = None
    if exps is not None:
        probabilities = exps * (-grad / normalisers)[:, None]
    else:
        scores = head.scores(states, start, stop)
        slope = head.transform.slope(scores)
        probabilities = scores.sub_(normalisers[:, None]).exp_().mul_(-grad[:, None])
    # d logp / d scores = one_hot(target) - softmax
    places = (targets - start).clamp(0, stop - start - 1)
    inside = (targets >= start) & (targets < stop)
    probabilities.scatter_add_(1, places[:, None], (grad * inside)[:, None])
    if slope is not None:
        probabilities.mul_(slope)
    if head.transform.scale != 1:
        probabilities.mul_(head.transform.scale)
    return probabilities


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Adds a product of matrices to a float32 sum, in place."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
