"""Bytes that a training writes: a checkpoint, the model, and everything still to come."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from halo_trainer.model.scorer import Scorer
from halo_trainer.train.optimizers import Named, state_tensors
from halo_trainer.train.reference_refresh import RefreshedReference


def checkpoint_bytes(
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
) -> int:
    """Returns the bytes of a checkpoint. The optimiser's state is known after its first step."""
    own = _bytes(parameter for _, parameter in parameters)
    state = _bytes(state_tensors(optimizer, parameters).values())
    return own + state + (0 if reference is None else reference.size)


def model_bytes(policy: Scorer) -> int:
    """Returns the bytes of the exported model, including its heads and an adapter."""
    return _bytes([*policy.model.parameters(), *policy.heads.parameters()])


def new_checkpoints(*, there: int, to_come: int, kept: int) -> int:
    """Returns the largest increase of checkpoints. Old ones are removed after a new one.

    Args:
        there: Number of checkpoints in the folder.
        to_come: Number of checkpoints that are still to be written.
        kept: Largest number of checkpoints that are kept.

    >>> new_checkpoints(there=0, to_come=9, kept=2), new_checkpoints(there=2, to_come=9, kept=2)
    (3, 1)
    >>> new_checkpoints(there=0, to_come=1, kept=2), new_checkpoints(there=1, to_come=0, kept=2)
    (1, 0)
    """
    return max(0, min(kept + 1, there + to_come) - there)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
