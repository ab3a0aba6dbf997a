"""Log-probabilities from the hidden states of a model's body, through its output head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from halo_trainer.model import linear_head
from halo_trainer.model.linear_head import LinearHead, LogitTransform, bytes_per_score, linear_logps


class OutputHead:
    """The output head of a model as a function from hidden states to log-probabilities.

    Args:
        module: The head: a linear layer, or what an adapter made of it.
        transform: The change that the model makes to the head's scores.
        compute_dtype: The dtype of matrix products.
    """

    def __init__(
        self, module: nn.Module, transform: LogitTransform, compute_dtype: torch.dtype
    ) -> None:
        self.module: Any = module
        self.transform = transform
        self.compute_dtype = compute_dtype

    def token_logps(self, states: Tensor, targets: Tensor) -> Tensor:
        """Returns the log-probability of each target, nats, float32 [N].

        Args:
            states: Hidden states of the model's body [N, D].
            targets: The tokens [N].
        """
        head = LinearHead(self.module.weight, None, self.transform, self.compute_dtype)
        if type(self.module) is nn.Linear:
            head = LinearHead(head.weight, self.module.bias, self.transform, self.compute_dtype)
            return linear_logps(head, states, targets)
        # An adapter may drop out, and may take weights from elsewhere, such as tied embeddings. So
        # torch itself computes chunks of positions again, with the same random numbers.
        size = linear_head.BUFFER_BYTES // (bytes_per_score(head) * len(head.weight))
        again = torch.is_grad_enabled() and 3 * len(states) > size
        logps = [
            checkpoint(self._chunk_logps, *part, use_reentrant=False)
            if again
            else self._chunk_logps(*part)
            for part in zip(
                torch.split(states, max(1, size)), torch.split(targets, max(1, size)), strict=True
            )
        ]
        return torch.cat(logps)

    def _chunk_logps(self, states: Tensor, targets: Tensor) -> Tensor:
        reduced = self.compute_dtype != torch.float32
        with torch.autocast(states.device.type, self.compute_dtype, enabled=reduced):
            scores: Tensor = self.module(states)
        return token_logps(self.transform.apply(scores.float()), targets)


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

    The only array as large as the logits in the backward pass is the gradient itself.

    Args:
        logits: Scores of the whole vocabulary, in any floating-point type [N, V].
        targets: The tokens [N].
    """
    values: Tensor = _TokenLogps.apply(logits, targets)  # type: ignore[no-untyped-call]
    return values


def output_head_of(
    model: Any, compute_dtype: torch.dtype
) -> tuple[Callable[..., Any], OutputHead] | None:
    """Returns a causal language model's body and its output head; None if it has no such parts.

    Args:
        model: A model of transformers, or a peft model around one.
        compute_dtype: The dtype of matrix products.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = causal.get_decoder() if hasattr(causal, "get_decoder") else None
    head = causal.get_output_embeddings()
    if body is None or body is causal or head is None:
        return None
    return body, OutputHead(head, LogitTransform.of(causal.config), compute_dtype)
