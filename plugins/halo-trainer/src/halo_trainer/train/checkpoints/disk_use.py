"""Bytes of what a training writes: a checkpoint and the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from halo_models.shards import local
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.checkpoints.files import tensors_of
from halo_trainer.train.optimizers import Named
from halo_trainer.train.reference.refresh import RefreshedReference


def checkpoint_bytes(
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
) -> int:
    """Returns the bytes of a checkpoint. The optimiser's state is known after its first step."""
    return _bytes(tensors_of(parameters, optimizer, reference).values())


def copied_bytes(
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
) -> int:
    """Returns the bytes that this process copies of a checkpoint."""
    return _bytes(map(local, tensors_of(parameters, optimizer, reference).values()))


def model_bytes(policy: Scorer) -> int:
    """Returns the bytes of the exported model, including its heads and an adapter."""
    return _bytes([*policy.model.parameters(), *policy.heads.parameters()])


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
