"""Log-probabilities from hidden states through a model's output head, in chunks.

The scores of the whole vocabulary exist only for some positions at a time, so memory does not grow
with tokens times vocabulary. The backward pass computes the scores of a chunk again, unless they
are small enough to be kept. The weights of the head get one gradient, the sum over all chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

BUFFER_BYTES = 64 * 2**20
"""Largest number of bytes of buffers that have a size of positions times vocabulary."""


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
        """Returns transformed scores."""
        scores = scores if self.scale == 1 else scores * self.scale
        return scores if self.cap is None else self.cap * torch.tanh(scores / self.cap)

    def apply_(self, scores: Tensor) -> Tensor:
        """Transforms scores in place."""
        if self.scale != 1:
            scores.mul_(self.scale)
        if self.cap is not None:
            scores.div_(self.cap).tanh_().mul_(self.cap)
        return scores

    def slope(self, transformed: Tensor) -> Tensor | None:
        """Returns the derivative of the cap at transformed scores; None if there is no cap."""
        return None if self.cap is None else (transformed / self.cap).square_().neg_().add_(1)


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
        self.module = module
        self.transform = transform
        self.compute_dtype = compute_dtype

    def token_logps(self, states: Tensor, targets: Tensor) -> Tensor:
        """Returns the log-probability of each target, nats, float32 [N].

        Args:
            states: Hidden states of the model's body [N, D].
            targets: The tokens [N].
        """
        if self._is_plain:
            weights = (p for p in self.module.parameters() if p.requires_grad)
            values: Tensor = _HeadLogps.apply(self, targets, states, *weights)  # type: ignore[no-untyped-call]
            return values
        # An adapter may drop out, and may take weights from elsewhere, such as tied embeddings. So
        # torch itself computes its chunks again, with the same random numbers.
        whole = 3 * len(states) <= self.chunk()
        parts = [(states, targets)] if whole else _chunks(self, states, targets)
        again = torch.is_grad_enabled() and not whole
        logps = [
            checkpoint(self._chunk_logps, *part, use_reentrant=False)
            if again
            else self._chunk_logps(*part)
            for part in parts
        ]
        return torch.cat(logps)

    def _chunk_logps(self, states: Tensor, targets: Tensor) -> Tensor:
        return token_logps(self.transform.apply(self._module_scores(states).float()), targets)

    @property
    def _is_plain(self) -> bool:
        return type(self.module) is nn.Linear

    @property
    def vocabulary(self) -> int:
        """Number of scores of each position."""
        module: Any = self.module
        return int(module.weight.shape[0])

    def chunk(self) -> int:
        """Returns the largest number of positions that are computed at one time."""
        # The scores in the compute dtype, in float32, and their gradient for the matrix products.
        each = 4 if self.compute_dtype == torch.float32 else 2 + 4 + 2
        each += 0 if self.transform.cap is None else 4  # its slope
        return max(1, BUFFER_BYTES // (each * self.vocabulary))

    def keeps(self, positions: int) -> bool:
        """Returns whether the probabilities are small enough to be kept for the backward pass."""
        small = positions * self.vocabulary * (4 + 4) <= BUFFER_BYTES
        return self.transform.cap is None and small

    def scores(self, states: Tensor) -> Tensor:
        """Returns new transformed scores of some positions, without a gradient, float32 [n, V]."""
        with torch.no_grad():
            # Nothing else has the scores, so they can be changed in place.
            return self.transform.apply_(self._module_scores(states).float())

    def _module_scores(self, states: Tensor) -> Tensor:
        reduced = self.compute_dtype != torch.float32
        with torch.autocast(states.device.type, self.compute_dtype, enabled=reduced):
            scores: Tensor = self.module(states)
        return scores

    def backward(
        self, states: Tensor, grad_scores: Tensor, weights: Sequence[Tensor], *, of_states: bool
    ) -> list[Tensor | None]:
        """Returns gradients of the states and of each weight of a linear head.

        Args:
            states: Hidden states of some positions [n, D].
            grad_scores: Gradient of the head's scores before the transform [n, V].
            weights: The head's trained weights.
            of_states: Whether the gradient of the states is needed.
        """
        module: Any = self.module
        # The products are those of autocast.
        grad = grad_scores.to(self.compute_dtype)
        of_inputs = grad @ module.weight.to(self.compute_dtype) if of_states else None
        gradients: list[Tensor | None] = [of_inputs]
        for weight in weights:
            product = grad.sum(0) if weight.ndim == 1 else grad.T @ states.to(self.compute_dtype)
            gradients.append(product)
        return gradients


class _HeadLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, head: OutputHead, targets: Tensor, states: Tensor, *weights: Tensor
    ) -> Tensor:
        kept = any(ctx.needs_input_grad) and head.keeps(len(states))
        parts = [(states, targets)] if kept else _chunks(head, states, targets)
        logps, normalisers, exps = [], [], None
        for part, tokens in parts:
            scores = head.scores(part)
            at_targets = scores.gather(1, tokens[:, None])[:, 0]
            top = scores.amax(1)
            exps = scores.sub_(top[:, None]).exp_()
            normaliser = exps.sum(1).log_().add_(top)
            logps.append(at_targets - normaliser)
            normalisers.append(normaliser - top if kept else normaliser)
        ctx.head = head
        ctx.exps = exps if kept else None
        ctx.save_for_backward(states, targets, torch.cat(normalisers), *weights)
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        head: OutputHead = ctx.head
        states, targets, normalisers, *weights = ctx.saved_tensors
        of_states = ctx.needs_input_grad[2]
        sums: list[Tensor | None] = [None] * len(weights)
        of_inputs: list[Tensor] = []
        whole = [(states, targets, normalisers, grads[0])]
        for part, tokens, normaliser, grad in (
            whole if ctx.exps is not None else _chunks(head, states, targets, normalisers, grads[0])
        ):
            grad_scores = _grad_scores(head, ctx.exps, part, tokens, normaliser, grad)
            found = head.backward(part, grad_scores, weights, of_states=of_states)
            if found[0] is not None:
                of_inputs.append(found[0].to(states.dtype))
            for i, gradient in enumerate(found[1:]):
                sums[i] = _added(sums[i], gradient, weights[i])
        return None, None, torch.cat(of_inputs) if of_states else None, *sums


def _grad_scores(
    head: OutputHead,
    exps: Tensor | None,
    states: Tensor,
    targets: Tensor,
    normalisers: Tensor,
    grad: Tensor,
) -> Tensor:
    """Returns the gradient of the head's scores, before the transform, float32 [n, V]."""
    slope = None
    if exps is not None:
        # The kept exponentials are relative to the largest score, and so are the normalisers.
        probabilities = exps * (-grad * (-normalisers).exp())[:, None]
    else:
        scores = head.scores(states)
        slope = head.transform.slope(scores)
        probabilities = scores.sub_(normalisers[:, None]).exp_().mul_(-grad[:, None])
    # d logp / d scores = one_hot(target) - softmax
    probabilities.scatter_add_(1, targets[:, None], grad[:, None])
    if slope is not None:
        probabilities.mul_(slope)
    if head.transform.scale != 1:
        probabilities.mul_(head.transform.scale)
    return probabilities


def _added(total: Tensor | None, gradient: Tensor | None, weight: Tensor) -> Tensor | None:
    if gradient is None:
        return total
    gradient = gradient.to(weight.dtype)
    return gradient if total is None else total.add_(gradient)


def _chunks(head: OutputHead, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, head.chunk()) for tensor in tensors), strict=True)


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
