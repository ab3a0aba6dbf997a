"""Restores a training, or only its weights, from the files of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from halo_trainer.train.checkpoints.files import read_state
from halo_trainer.train.checkpoints.saved_tensors import SavedTensors
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.optimizers import Named, load_state_tensors
from halo_trainer.train.reference.refresh import RefreshedReference


def restore_all(
    folder: Path,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
) -> TrainState:
    """Restores a training from a whole checkpoint, and returns its state.

    Each process reads only what it holds of the tensors.

    Raises:
        DataError: When the checkpoint lacks a tensor.
    """
    with SavedTensors(folder) as saved:
        _fill_weights(saved, parameters)
        _restore_optimizer(saved, parameters, optimizer)
        if reference is not None:
            for name, weight in reference.tensors.items():
                saved.fill("reference", name, weight)
            reference.place = saved.texts
    return read_state(folder)


def _restore_optimizer(
    saved: SavedTensors, parameters: Named, optimizer: torch.optim.Optimizer
) -> None:
    named = dict(parameters)
    found = {}
    for name in saved.names("optimizer"):
        owner = name.rpartition("/")[0]
        if owner in named:
            found[name] = saved.like("optimizer", name, named[owner])
    load_state_tensors(optimizer, parameters, found)


def restore_weights(folder: Path, parameters: Named) -> None:
    """Restores only the weights of a checkpoint.

    Raises:
        DataError: When the checkpoint lacks one.
    """
    with SavedTensors(folder) as saved:
        _fill_weights(saved, parameters)


def _fill_weights(saved: SavedTensors, parameters: Named) -> None:
    for name, parameter in parameters:
        saved.fill("weights", name, parameter)
