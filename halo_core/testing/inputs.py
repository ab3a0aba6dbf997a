"""From the cases to what a loss is given: only what it needs, as the trainer would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput
from halo_core.loss_calls import settled, with_changed_logratios
from halo_core.testing.batches import loss_batch
from halo_core.testing.cases import Case
from halo_core.testing.expect import must_not_raise

if TYPE_CHECKING:
    from torch import Tensor

POINT = 0.3
"""The reference point of a batch that has one, nats."""
TOKENS = "policy_token_logps"
HEAD = "heads."
_POINT = "reference_point"


def settled_loss(loss: Loss) -> Loss:
    """Returns the loss as the trainer calls it: with the options settled that depend on data."""
    with must_not_raise(loss, "settle()"):
        return settled(loss, ClassCounts(desirable=2, undesirable=2)).loss


def batch_of(
    loss: Loss,
    case: Case,
    *,
    whole: Case | None = None,
    own_points: bool = False,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch, with only what the loss needs.

    Args:
        loss: Already settled.
        case: The examples.
        whole: The global batch that statistics are computed on; the case itself when left out.
        own_points: Whether each completion has a reference point of its own.
        dtype: Of the log-probabilities.
    """
    batch = batch_alone(loss, case, own_points=own_points, dtype=dtype)
    if "statistics" not in loss.needed():
        return batch
    all_of_it = batch if whole is None else batch_alone(loss, whole, dtype=dtype)
    return replace(batch, statistics=_statistics(loss, all_of_it))


def batch_alone(
    loss: Loss,
    case: Case,
    *,
    own_points: bool = False,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch as it is before the statistics of the global batch are known."""
    needed = loss.needed()
    point = case.points if own_points else POINT
    return loss_batch(
        case.policy if "policy_logps" in needed else [[0.0] * len(t) for t in case.policy],
        reference=case.reference if "reference_logps" in needed else None,
        desirable=case.desirable,
        examples=[row // case.width for row in range(len(case.policy))],
        reference_point=point if "reference_point" in needed else None,
        sampled=case.sampled if "reference_samples" in needed else None,
        heads=_heads(loss, case),
        dtype=dtype,
    )


def call(loss: Loss, batch: LossBatch, case: Case) -> LossOutput:
    """Returns what the loss says of a batch with its change of the log-ratios, as in training.

    The case names it where the call raises.
    """
    with must_not_raise(loss, f"a call on {case.name}"):
        return loss(with_changed_logratios(loss, batch))


def _statistics(loss: Loss, batch: LossBatch) -> Mapping[str, Tensor]:
    with must_not_raise(loss, "statistics()"):
        return loss.statistics(with_changed_logratios(loss, batch))


def _heads(loss: Loss, case: Case) -> dict[str, list[float]]:
    outputs = {}
    for i, head in enumerate(loss.heads(), start=1):
        if head.at == "end":
            outputs[head.name] = [i * tokens[-1] for tokens in case.outputs]
        else:
            outputs[head.name] = [i * value for tokens in case.outputs for value in tokens]
    return outputs


def inputs_of(loss: Loss, batch: LossBatch) -> dict[str, Tensor]:
    """Returns the tensors that the losses must have a gradient for, by name, and asks for it."""
    found = {TOKENS: batch.policy_token_logps} if "policy_logps" in loss.needed() else {}
    found |= {HEAD + name: values for name, values in batch.heads.items()}
    if batch.reference_point is not None and batch.reference_point.ndim == 1:
        found[_POINT] = batch.reference_point
    return {name: tensor.requires_grad_() for name, tensor in found.items()}


def with_inputs(batch: LossBatch, inputs: Mapping[str, Tensor]) -> LossBatch:
    """Returns the batch with these tensors in the place of what `inputs_of` names so."""
    heads = {name: inputs[HEAD + name] for name in batch.heads}
    tokens = inputs.get(TOKENS, batch.policy_token_logps)
    point = inputs.get(_POINT, batch.reference_point)
    return replace(batch, policy_token_logps=tokens, heads=heads, reference_point=point)
