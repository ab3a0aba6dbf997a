"""The dtype of frozen weights: the smallest one that changes no result.

In a matrix product, autocast rounds a policy's float32 weights to the compute dtype. So frozen
weights of matrix products can be held in that dtype, which gives the same bits in half the memory.
All others, above all embeddings and norms, are held in float32 like those of the policy. So a
policy that equals its reference has log-ratios of exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.scorer import Scorer, without_dropout

STACKED = 3
"""Number of axes of a weight that stacks matrices."""

_IN_FLOAT32 = (
    "the frozen {} are held in float32, which takes twice the memory: if they were rounded to the "
    "compute dtype, they would give other log-probabilities than trained ones"
)


def hold_frozen(scorer: Scorer, row: PackedRow, *, warn: Callable[[str], None]) -> None:
    """Holds frozen weights in the compute dtype if this gives the same bits.

    A trial decides. Buffers are not changed, because positions need precision.

    Args:
        scorer: A scorer with float32 weights, changed in place.
        row: A row for the trial.
        warn: Receives a warning about matrices that stay in float32 because of how they are used.
    """
    if scorer.compute_dtype == torch.float32:
        return
    linear, stacked = matrices(scorer)
    if not (linear or stacked):
        return
    expected = _logps(scorer, row)
    if _held_alike({**linear, **stacked}, scorer, row, expected):
        return
    if stacked and _held_alike(linear, scorer, row, expected):
        # transformers' grouped products do not use autocast.
        warn(_IN_FLOAT32.format("experts of the model"))
    else:
        warn(_IN_FLOAT32.format("weights"))


def _held_alike(
    weights: Mapping[str, nn.Parameter], scorer: Scorer, row: PackedRow, expected: Tensor
) -> bool:
    """Holds weights in the compute dtype, or restores them if the result changes."""
    # The float32 weights are kept until the trial has passed.
    kept = {name: parameter.data for name, parameter in weights.items()}
    for parameter in weights.values():
        parameter.data = parameter.data.to(scorer.compute_dtype)
    alike = torch.equal(_logps(scorer, row), expected)
    if not alike:
        for name, parameter in weights.items():
            parameter.data = kept[name]
    return alike


def _logps(scorer: Scorer, row: PackedRow) -> Tensor:
    with torch.no_grad(), without_dropout(scorer):
        logps: Tensor = scorer(row).token_logps
    return logps


def matrices(
    scorer: nn.Module,
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Returns the frozen weights of linear layers, and stacks of matrices, such as experts."""
    # The tied weights of an output head are also an embedding.
    taken = {id(m.weight) for m in scorer.modules() if isinstance(m, nn.Embedding)}
    linear: dict[str, nn.Parameter] = {}
    stacked: dict[str, nn.Parameter] = {}
    for place, module in scorer.named_modules():
        for name, parameter in module.named_parameters(place, recurse=False):
            if parameter.requires_grad or id(parameter) in taken:
                continue
            if _is_linear(module):
                linear[name] = parameter
            elif parameter.ndim == STACKED:
                stacked[name] = parameter
    return linear, stacked


def _is_linear(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)
