"""One optimiser step: gradients of the whole global batch, checked before the weights change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_core.reference_point import Estimate
from halo_trainer.batch.micro_batch import Prepared, Settle
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.train.metrics import Metrics
from halo_trainer.train.objective import Scoring
from halo_trainer.train.own_logratios import OwnLogratios

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
        estimate: The reference point, with what it says of the batch; None where there is none.
    """

    loss: float
    norm: float
    stop: bool
    metrics: Metrics
    estimate: Estimate | None


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
        NotFiniteError: When the loss, the gradient or a reference point that is completed after
            it is not a number, on all processes alike; it names the examples. The gradient is
            dropped.
    """
    own = OwnLogratios(prepared, scoring.ranks) if prepared.settle is not None else None
    metrics, sums = _accumulate(scoring, prepared, own)
    sums = torch.cat([sums, sums.new_tensor([float(stop)])])
    loss_sum, weight_sum, stops = scoring.ranks.sum(sums).tolist()
    # DDP has averaged over the processes, and the loss is a sum over them.
    scale = scoring.ranks.world / weight_sum if weight_sum else 0.0
    gradients = [p.grad for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, scale)
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if not (math.isfinite(loss_sum) and math.isfinite(weight_sum) and math.isfinite(norm)):
        _raise_not_finite(scoring, prepared, parameters)
    estimate = prepared.estimate
    if prepared.settle is not None and own is not None:
        estimate = _settled(prepared.settle, own.of_all(), parameters)
    if max_norm is not None and norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / norm)
    loss = loss_sum / weight_sum if weight_sum else 0.0
    return Gradient(loss, norm, stops > 0, metrics, estimate)


def _accumulate(
    scoring: Scoring, prepared: Prepared, own: OwnLogratios | None
) -> tuple[Metrics, Tensor]:
    """Backward of every micro-batch; metrics, and the sums of losses and weights [2]."""
    metrics = Metrics()
    sums = torch.zeros(2, dtype=torch.float64, device=scoring.ranks.device)
    for call in range(len(prepared.places)):
        with scoring.synchronised(prepared, call):
            sums += _backward_one(scoring, prepared, call, metrics, own)
    return metrics, sums


def _backward_one(
    scoring: Scoring, prepared: Prepared, call: int, metrics: Metrics, own: OwnLogratios | None
) -> Tensor:
    micro = scoring.micro_batch(prepared, call)
    batch, output = scoring.output(micro, prepared, prepared.computed.get(call))
    loss = (output.losses * output.counts).sum()
    if not prepared.places[call]:
        # Some example is computed for nothing: all processes make the same calls.
        (loss * 0).backward()  # type: ignore[no-untyped-call]
        return torch.zeros(2, dtype=torch.float64, device=scoring.ranks.device)
    loss.backward()  # type: ignore[no-untyped-call]
    metrics.add_output(scoring.loss.resolved_feedback(), batch, output)
    if own is not None:
        own.add(call, batch.logratios)
    return torch.stack([loss.detach(), output.counts.sum()]).double()


def _settled(settle: Settle, logratios: Sequence[float], parameters: Sequence[Tensor]) -> Estimate:
    try:
        return settle(logratios)
    except NotFiniteError:
        _drop(parameters)
        raise


def _raise_not_finite(scoring: Scoring, prepared: Prepared, parameters: Sequence[Tensor]) -> None:
    """Computes each example alone to find those that are not a number.

    Raises:
        NotFiniteError: Always.
    """
    mine = [prepared.examples[i] for places in prepared.places for i in places]
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
    loss = (output.losses * output.counts).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return bool(torch.isfinite(loss + torch.nn.utils.get_total_norm(gradients)))


def _drop(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
