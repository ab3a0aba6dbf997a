"""One optimiser step: gradients of the whole global batch, checked before the weights change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_trainer.encoded import EncodedExample
from halo_trainer.metrics import Metrics
from halo_trainer.scoring import Prepared, Scoring

NAMED = 10
"""Most examples that an error names."""


@dataclass(frozen=True)
class Gradient:
    """What a global batch gave, beside the gradient in the parameters.

    Attributes:
        loss: Weighted mean over the batch.
        norm: 2-norm of its gradient, before clipping.
        stop: Whether some process was asked to stop.
        metrics: Of this process.
    """

    loss: float
    norm: float
    stop: bool
    metrics: Metrics


def backward(
    scoring: Scoring,
    prepared: Prepared,
    parameters: Sequence[Tensor],
    *,
    stop: bool,
    max_norm: float | None,
) -> Gradient:
    """Leaves the gradient of sum(losses * weights) / sum(weights) in the parameters.

    Both sums run over the whole global batch: micro-batches add up unnormalised, and the exact
    factor is applied once, when the sum of weights is known. Nothing depends on how the batch was
    cut or dealt but rounding.

    Args:
        scoring: The models and the loss.
        prepared: The global batch.
        parameters: Those that are trained, without a gradient yet.
        stop: Whether this process was asked to stop.
        max_norm: Longer gradients are shortened to this; None for never.

    Raises:
        NotFiniteError: When the loss or the gradient is not a number, on all processes alike; it
            names the examples. The gradient is dropped.
    """
    metrics, sums = _accumulate(scoring, prepared)
    sums = torch.cat([sums, sums.new_tensor([float(stop)])])
    loss_sum, weight_sum, stops = scoring.ranks.sum(sums).tolist()
    # DDP has averaged over the processes, and the loss is a sum over them.
    scale = scoring.ranks.world / weight_sum if weight_sum else 0.0
    gradients = [p.grad for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, scale)
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if not (math.isfinite(loss_sum) and math.isfinite(weight_sum) and math.isfinite(norm)):
        _raise_not_finite(scoring, prepared, parameters)
    if max_norm is not None and norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / norm)
    return Gradient(loss_sum / weight_sum if weight_sum else 0.0, norm, stops > 0, metrics)


def _accumulate(scoring: Scoring, prepared: Prepared) -> tuple[Metrics, Tensor]:
    """Backward of every micro-batch; metrics, and the sums of losses and weights [2]."""
    metrics = Metrics()
    sums = torch.zeros(2, dtype=torch.float64, device=scoring.ranks.device)
    last = len(prepared.mine) - 1
    for call, examples in enumerate(prepared.mine):
        if call == last:
            sums += _backward_one(scoring, prepared, examples, metrics)
        else:
            with scoring.ranks.no_sync(scoring.policy):
                sums += _backward_one(scoring, prepared, examples, metrics)
    return metrics, sums


def _backward_one(
    scoring: Scoring, prepared: Prepared, examples: Sequence[EncodedExample], metrics: Metrics
) -> Tensor:
    # An empty micro-batch computes some example for nothing: all processes make the same calls.
    micro = scoring.collate(examples or prepared.examples[:1])
    batch, output = scoring.output(micro, prepared)
    loss = (output.losses * output.weights).sum()
    if not examples:
        (loss * 0).backward()  # type: ignore[no-untyped-call]
        return torch.zeros(2, dtype=torch.float64, device=scoring.ranks.device)
    loss.backward()  # type: ignore[no-untyped-call]
    metrics.add_output(scoring.loss.feedback, batch, output)
    return torch.stack([loss.detach(), output.weights.sum()]).double()


def _raise_not_finite(scoring: Scoring, prepared: Prepared, parameters: Sequence[Tensor]) -> None:
    """Computes each example alone to find those that are not a number.

    Raises:
        NotFiniteError: Always.
    """
    mine = [example for examples in prepared.mine for example in examples]
    with scoring.ranks.no_sync(scoring.policy):
        bad = [e.id for e in mine if not _finite_alone(scoring, prepared, e, parameters)]
    _drop(parameters)
    names = [name for part in scoring.ranks.gather(bad) for name in part]
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    which = f"of {len(names)} examples: {shown}" if names else "of the batch, but of no example"
    raise NotFiniteError(
        f"not a number: the loss or gradient {which}. The weights are as they were before this "
        "step. Look at these rows and at the loss; lower learning_rate or use precision: float32"
    )


def _finite_alone(
    scoring: Scoring, prepared: Prepared, example: EncodedExample, parameters: Sequence[Tensor]
) -> bool:
    _drop(parameters)
    _, output = scoring.output(scoring.collate([example]), prepared)
    loss = (output.losses * output.weights).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return bool(torch.isfinite(loss + torch.nn.utils.get_total_norm(gradients)))


def _drop(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
