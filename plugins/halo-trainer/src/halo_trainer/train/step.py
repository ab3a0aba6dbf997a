"""The gradient of a whole global batch, checked before the weights change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_core.guarded.blame import plugin_error
from halo_core.reference_point import Estimate
from halo_models.shards import local
from halo_trainer.batch.micro_batch import GlobalBatch, Lagging
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.sharding.shard import is_spread
from halo_trainer.train.metrics import Metrics
from halo_trainer.train.objective import Objective
from halo_trainer.train.reference.own_logratios import OwnLogratios
from halo_trainer.train.reference.point import own_estimate
from halo_trainer.train.router_balance import RouterBalance, router_balance

NAMED = 10
"""Largest number of examples that an error names."""


@dataclass(frozen=True)
class Gradient:
    """Results of a global batch, in addition to the gradient in the parameters.

    Attributes:
        loss: Weighted mean over the batch.
        weight: Sum of the weights over the batch.
        norm: 2-norm of the gradient before clipping.
        stop: Whether any process was asked to stop.
        keep: Whether any process asked for a checkpoint.
        metrics: Sums over the share of this process.
        estimate: The reference point, with its metrics of the batch; None if there is none.
    """

    loss: float
    weight: float
    norm: float
    stop: bool
    keep: bool
    metrics: Metrics
    estimate: Estimate | None


def backward(
    objective: Objective,
    batch: GlobalBatch,
    parameters: Sequence[Tensor],
    *,
    stop: bool,
    max_norm: float | None,
    keep: Callable[[], bool] | None = None,
) -> Gradient:
    """Computes the gradient of sum(losses * weights) / sum(weights) in the parameters.

    It adds the gradient of the load-balancing loss of experts, if there is one. Both sums run over
    the whole global batch. Micro-batches are added without normalisation. The exact factor is
    applied once, when the sum of weights is known. Except for rounding, the result does not depend
    on how the batch was cut or distributed.

    Args:
        objective: The models and the loss.
        batch: The result of `prepare`.
        parameters: The trained parameters, without a gradient yet.
        stop: Whether this process was asked to stop.
        max_norm: Largest gradient norm; None for no limit.
        keep: Says after the gradient whether this process asks for a checkpoint; None for no.

    Raises:
        NotFiniteError: When the loss, the gradient or a reference point that is completed after it
            is not a number. All processes raise it. It names the examples, and the gradient is
            dropped.
        PluginError: When a weight is below 0, or a lagged point changes after it was first given.
    """
    own = OwnLogratios(batch, objective.ranks) if batch.lagging is not None else None
    balance = router_balance(objective, batch) if objective.router_weight else None
    metrics, sums = _accumulate(objective, batch, own, balance)
    if balance is not None and objective.ranks.main:
        metrics.add("router/loss", balance.loss, 1)
    # Of sharded weights, this process has the gradient of its rows, alike after every exchange.
    gradients = [local(p.grad) for p in parameters if p.grad is not None]
    asked = [sums.new_full((1,), stop), sums.new_full((1,), keep is not None and keep())]
    spread = is_spread(objective.policy)
    squares = [_squares(gradients, sums)] if spread else []
    parts = [sums, *asked, *squares, *([] if own is None else [own.values])]
    # One sum over the processes for all. It also tells the others about a request to stop or keep.
    total = objective.ranks.sum(torch.cat(parts))
    scale = _scale(weight_sum=total[1], world=objective.ranks.world)
    norm_found = _scaled(gradients, scale)
    if spread:
        norm_found = total[5].sqrt() * scale
        total = torch.cat([total[:5], total[6:]])
    # All numbers are read at once, because the device is waited for each time.
    (loss_sum, weight_sum, negative, stops, keeps, *logratios), norm = _read(total, norm_found)
    if negative:
        _drop(parameters)
        raise plugin_error(
            objective.loss,
            "__call__",
            f"gave {negative:.0f} weights below 0; expected how much each example counts",
        )
    # All processes have the same numbers here, so all of them continue or none.
    if not (math.isfinite(loss_sum) and math.isfinite(weight_sum) and math.isfinite(norm)):
        _raise_not_finite(objective, batch, parameters)
    estimate = batch.estimate
    if batch.lagging is not None:
        estimate = _completed(batch, batch.lagging, logratios, parameters)
    if max_norm is not None and norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / norm)
    loss = loss_sum / weight_sum if weight_sum else 0.0
    return Gradient(loss, weight_sum, norm, stops > 0, keeps > 0, metrics, estimate)


def _scale(*, weight_sum: Tensor, world: int) -> Tensor:
    """Returns the factor of the gradients [], without waiting for the device.

    It is 0 if the sum of weights is 0.
    """
    # The gradients were averaged over the processes, but the loss is a sum over them.
    return torch.where(weight_sum == 0, 0.0, world / weight_sum)


def _scaled(gradients: list[Tensor], scale: Tensor) -> Tensor:
    """Multiplies the gradients of this process by a factor, and returns their 2-norm []."""
    if not gradients:
        return torch.zeros_like(scale)
    torch._foreach_mul_(gradients, scale.to(gradients[0].dtype))
    return torch.nn.utils.get_total_norm(gradients)


def _squares(gradients: list[Tensor], sums: Tensor) -> Tensor:
    """Returns the sum of the squares of this process's gradients, as `sums` are [1]."""
    if not gradients:
        return sums.new_zeros(1)
    return torch.nn.utils.get_total_norm(gradients).to(sums).square()[None]


def _read(total: Tensor, norm: Tensor) -> tuple[list[float], float]:
    *numbers, last = torch.cat([total, norm.to(total)[None]]).tolist()
    return numbers, last


def _accumulate(
    objective: Objective,
    batch: GlobalBatch,
    own: OwnLogratios | None,
    balance: RouterBalance | None,
) -> tuple[Metrics, Tensor]:
    """Runs all backward passes; returns metrics and sums of loss, weight, negative weight [3]."""
    metrics = Metrics()
    sums = torch.zeros(3, dtype=torch.float64, device=objective.ranks.device)
    for index in range(len(batch.micro_batches)):
        with objective.synchronised(batch, index):
            sums += _backward_one(objective, batch, index, metrics, own, balance)
    return metrics, sums


def _backward_one(
    objective: Objective,
    batch: GlobalBatch,
    index: int,
    metrics: Metrics,
    own: OwnLogratios | None,
    balance: RouterBalance | None,
) -> Tensor:
    micro, known = objective.micro_batch(batch, index), batch.computed.get(index)
    scores = objective.scores(micro, known)
    seen, output = objective.output(micro, batch, known, scores)
    loss = (output.losses * output.counts).sum()
    if not batch.micro_batches[index]:
        # Any example is computed without effect, so that all processes make the same calls.
        (loss * 0).backward()  # type: ignore[no-untyped-call]
        return torch.zeros(3, dtype=torch.float64, device=objective.ranks.device)
    differentiated = loss
    if balance is not None and scores.routed is not None:
        differentiated = loss + balance.part(scores.routed)
    differentiated.backward()  # type: ignore[no-untyped-call]
    metrics.add_output(objective.loss.resolved_feedback(), seen, output)
    if own is not None:
        own.add(index, seen.logratios)
    counts = output.counts
    return torch.stack([x.double() for x in (loss.detach(), counts.sum(), (counts < 0).sum())])


def _completed(
    batch: GlobalBatch,
    lagging: Lagging,
    logratios: Sequence[float],
    parameters: Sequence[Tensor],
) -> Estimate:
    estimator, known = lagging.estimator, batch.estimate
    try:
        estimate = own_estimate(estimator, batch, logratios, lagging.state)
    except NotFiniteError:
        _drop(parameters)
        raise
    if known is not None and estimate.value != known.value:
        _drop(parameters)
        what = f"gave {known.value}, and estimate() {estimate.value}; expected the same"
        raise plugin_error(estimator, "point_from", what)
    return estimate


def _raise_not_finite(
    objective: Objective, batch: GlobalBatch, parameters: Sequence[Tensor]
) -> None:
    """Computes each example alone, to find those whose result is not a number.

    Raises:
        NotFiniteError: Always.
    """
    spread, ranks = is_spread(objective.policy), objective.ranks
    mine = [batch.examples[i] for positions in batch.micro_batches for i in positions]
    # Sharded weights are gathered from all processes, so all of them compute all examples.
    with ranks.aside(objective.policy):
        bad = [
            example.id
            for example in (batch.examples if spread else mine)
            if not _finite_alone(objective, batch, example, parameters)
        ]
    _drop(parameters)
    # Each process has seen the gradient of its rows only.
    names = list(dict.fromkeys(name for part in ranks.gather(bad) for name in part))
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    which = f"of {len(names)} examples: {shown}" if names else "of the batch, but of no example"
    raise NotFiniteError(
        f"not a number: the loss or gradient {which}. The weights are as they were before this "
        "step, and are finite: look at these rows, and at the options of the loss. If precision is "
        "bfloat16, try float32"
    )


def _finite_alone(
    objective: Objective, batch: GlobalBatch, example: EncodedExample, parameters: Sequence[Tensor]
) -> bool:
    _drop(parameters)
    _, output = objective.output(objective.collate([example]), batch)
    loss = (output.losses * output.counts).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [local(p.grad) for p in parameters if p.grad is not None]
    return bool(torch.isfinite(loss + torch.nn.utils.get_total_norm(gradients)))


def _drop(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
