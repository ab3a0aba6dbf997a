"""Log-probabilities of tokens from logits, with a gradient that needs one buffer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        scores = logits.float()
        normalisers = scores.logsumexp(dim=-1)
        ctx.save_for_backward(logits, normalisers, targets)
        return scores.gather(1, targets[:, None])[:, 0] - normalisers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        logits, normalisers, targets = ctx.saved_tensors
        grad = grads[0][:, None]
        # d logp / d logits = one_hot(target) - softmax
        out = torch.sub(logits, normalisers[:, None]).exp_().mul_(-grad)
        at_targets = out.gather(1, targets[:, None]) + grad
        out.scatter_(1, targets[:, None], at_targets)
        return out.to(logits.dtype), None


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns log softmax(logits)[targets], in nats and float32 [N].

    The gradient's only array of the size of the logits is the gradient itself.

    Args:
        logits: Scores of the whole vocabulary, in any floating-point type [N, V].
        targets: The tokens [N].
    """
    values: Tensor = _TokenLogps.apply(logits, targets)  # type: ignore[no-untyped-call]
    return values
