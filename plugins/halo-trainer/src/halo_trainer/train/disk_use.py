"""How many bytes a training writes: a checkpoint, the model, and all that is still to come."""

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
    """Returns the bytes of a checkpoint; the optimiser's state is known behind its first step."""
    own = _bytes(parameter for _, parameter in parameters)
    state = _bytes(state_tensors(optimizer, parameters).values())
    return own + state + (0 if reference is None else reference.size)


def model_bytes(policy: Scorer) -> int:
    """Returns the bytes of the model that is exported, its heads and an adapter among them."""
    return _bytes([*policy.model.parameters(), *policy.heads.parameters()])


def new_checkpoints(*, there: int, to_come: int, kept: int) -> int:
    """Returns by how many checkpoints the folder grows at most; old ones go behind a new one.

    Args:
        there: Those in the folder.
        to_come: Those that are still to be written.
        kept: Most that are kept for long.

    >>> new_checkpoints(there=0, to_come=9, kept=2), new_checkpoints(there=2, to_come=9, kept=2)
    (3, 1)
    >>> new_checkpoints(there=0, to_come=1, kept=2), new_checkpoints(there=1, to_come=0, kept=2)
    (1, 0)
    """
    return max(0, min(kept + 1, there + to_come) - there)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
