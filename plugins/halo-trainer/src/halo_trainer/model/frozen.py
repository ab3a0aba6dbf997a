"""In which dtype weights are held that are not trained: as few bytes as change no bit.

Where a policy's float32 weights meet a matrix product, autocast rounds them to the dtype computed
in. Frozen weights are held in that dtype there, which gives the same bits in half the memory. All
others, embeddings and norms above all, are held in float32, as those of the policy are: so a policy
that equals its reference has log-ratios of exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.scorer import Scorer, without_dropout

STACKED = 3
"""Axes of a weight that stacks matrices."""

_IN_FLOAT32 = (
    "the frozen {} are held in float32, which takes twice the memory: rounded to what is computed "
    "in, they would give other log-probabilities than trained ones"
)


def hold_frozen(scorer: Scorer, row: PackedRow, *, warn: Callable[[str], None]) -> None:
    """Holds frozen weights in the dtype computed in where that gives the same bits.

    Whether it does is tried. Buffers are left alone: positions need precision.

    Args:
        scorer: Its weights are in float32; changed in place.
        row: What is tried.
        warn: Told what stays in float32 though it is a matrix, because it is used in another way.
    """
    if scorer.compute_dtype == torch.float32:
        return
    linear, stacked = _matrices(scorer)
    if not (linear or stacked):
        return
    expected = _logps(scorer, row)
    if _held_alike({**linear, **stacked}, scorer, row, expected):
        return
    if stacked and _held_alike(linear, scorer, row, expected):
        # transformers' grouped products take no part in autocast.
        warn(_IN_FLOAT32.format("experts of the model"))
    else:
        warn(_IN_FLOAT32.format("weights"))


def _held_alike(
    weights: Mapping[str, nn.Parameter], scorer: Scorer, row: PackedRow, expected: Tensor
) -> bool:
    """Holds weights in the dtype computed in; leaves them as they were where it is not the same."""
    # The float32 ones are kept until it is known that they are not needed.
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


def _matrices(
    scorer: nn.Module,
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """The frozen weights of linear layers, and stacks of matrices, as those of experts."""
    # The tied weights of an output head are those of an embedding.
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
