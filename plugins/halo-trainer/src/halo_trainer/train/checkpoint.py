"""Checkpoints: everything needed to continue exactly, without pickle.

A checkpoint is a folder ``checkpoints/step-00000200`` with the trained weights, the optimiser's
state, `state.json` and, if it changes in training, the reference. The data position, the batch plan
and all random numbers are functions of the seed and the step, so only the step is stored for them.
It is not a model: it has only trained weights, without a configuration or a tokenizer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from halo_core.workspace.disk import check_room
from halo_core.workspace.files import whole_folder
from halo_trainer.train.disk_use import checkpoint_bytes, new_checkpoints
from halo_trainer.train.metrics import Sums
from halo_trainer.train.optimizers import Named, load_state_tensors, state_tensors
from halo_trainer.train.reference_refresh import RefreshedReference

_WEIGHTS = "weights.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_STATE = "state.json"
_PREFIX = "step-"
_READ_ME = """\
# Internal: states of a training, not models

If `halo run` was interrupted, it continues from the latest of these folders. A folder contains the
trained weights, the optimiser's state and `state.json`: the step, and `score`, the loss on the
first set of `evaluate` if it was measured at this step. It contains no configuration and no
tokenizer.

When the stage is done, the model is in `../model`. With `export: best` it is that of the step with
the lowest score, otherwise that of the last step.
"""


@dataclass
class TrainState:
    """The progress of a training, apart from weights and optimiser.

    Attributes:
        step: Number of optimiser steps done.
        tokens: Number of tokens computed so far.
        estimator: State of the reference point's estimator.
        window: Sums of metrics since they were last logged, over all processes.
        first_loss: The first logged loss.
        last: The latest value of each curve.
        score: Loss on the first evaluation set at this step; None if it was not measured.
    """

    step: int = 0
    tokens: int = 0
    estimator: dict[str, float] = field(default_factory=dict)
    window: Sums = field(default_factory=dict)
    first_loss: float | None = None
    last: dict[str, float] = field(default_factory=dict)
    score: float | None = None


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a training.

    Attributes:
        folder: The folder of the checkpoints.
        keep_last: Number of the latest ones to keep, at least 1.
        keep_best: Number of those with the lowest scores to keep.
    """

    folder: Path
    keep_last: int
    keep_best: int

    def save(
        self,
        state: TrainState,
        parameters: Named,
        optimizer: torch.optim.Optimizer,
        reference: RefreshedReference | None = None,
    ) -> Path:
        """Writes a checkpoint, removes checkpoints that are not kept, and returns its folder.

        Raises:
            DiskError: When there is no room for it. The existing checkpoints stay complete.
        """
        folder = self._path(state.step)
        self.folder.mkdir(parents=True, exist_ok=True)
        needed = checkpoint_bytes(parameters, optimizer, reference)
        check_room(self.folder, needed, f"the checkpoint of step {state.step}")
        (self.folder / "README.md").write_text(_READ_ME)
        with whole_folder(folder) as partial:
            save_file(_on_cpu(dict(parameters)), partial / _WEIGHTS)
            save_file(_on_cpu(state_tensors(optimizer, parameters)), partial / _OPTIMIZER)
            if reference is not None:
                reference.write(partial)
            (partial / _STATE).write_text(json.dumps(asdict(state)))
        keep = steps_to_keep(self.scores(), self.keep_last, self.keep_best)
        for old in self.folder.glob(f"{_PREFIX}*"):
            if _step(old) not in keep:
                self.drop(_step(old))
        return folder

    def yet_to_write(self, to_come: int, *, measured: bool) -> int:
        """Returns the largest increase of the number of checkpoints at any time.

        Args:
            to_come: Number of checkpoints that are still to be written.
            measured: Whether any has a score, so that the best are also kept.
        """
        kept = self.keep_last + (self.keep_best if measured else 0)
        return new_checkpoints(there=len(self.scores()), to_come=to_come, kept=kept)

    def drop(self, step: int) -> None:
        """Removes the checkpoint of a step, if there is one."""
        folder = self._path(step)
        if folder.exists():
            (folder / _STATE).unlink(missing_ok=True)  # without it, half a folder counts as none
            shutil.rmtree(folder)

    def restore(
        self,
        parameters: Named,
        optimizer: torch.optim.Optimizer,
        reference: RefreshedReference | None = None,
    ) -> TrainState:
        """Restores the latest checkpoint, and returns its state; a new state if there is none."""
        steps = sorted(self.scores())
        if not steps:
            return TrainState()
        folder = self._path(steps[-1])
        self.restore_weights(steps[-1], parameters)
        load_state_tensors(optimizer, parameters, load_file(folder / _OPTIMIZER))
        if reference is not None:
            reference.read(folder)
        return self.state_of(steps[-1])

    def restore_weights(self, step: int, parameters: Named) -> None:
        """Restores only the weights of a checkpoint."""
        weights = load_file(self._path(step) / _WEIGHTS)
        with torch.no_grad():
            for name, parameter in parameters:
                parameter.copy_(weights[name])

    def state_of(self, step: int) -> TrainState:
        """Returns the state of the training at a checkpoint."""
        state = TrainState(**json.loads((self._path(step) / _STATE).read_text()))
        state.window = {name: (pair[0], pair[1]) for name, pair in state.window.items()}
        return state

    def scores(self) -> dict[int, float | None]:
        """Returns the score of each checkpoint by step."""
        states = self.folder.glob(f"{_PREFIX}*/{_STATE}")
        return {_step(path.parent): json.loads(path.read_text())["score"] for path in states}

    def best(self) -> tuple[int, float] | None:
        """Returns the step with the lowest score (the earliest if equal), and that score."""
        scored = [(score, step) for step, score in self.scores().items() if score is not None]
        if not scored:
            return None
        score, step = min(scored)
        return step, score

    def is_best(self, score: float | None) -> bool:
        """Returns whether a checkpoint with this score would be among the best."""
        if score is None:
            return False
        better = [s for s in self.scores().values() if s is not None and s <= score]
        return len(better) < self.keep_best

    def _path(self, step: int) -> Path:
        return self.folder / f"{_PREFIX}{step:08d}"


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix(_PREFIX))


def steps_to_keep(scores: Mapping[int, float | None], keep_last: int, keep_best: int) -> set[int]:
    """Returns which checkpoints to keep: the latest ones, and those with the lowest scores.

    Args:
        scores: Scores by step. Of equal scores the earlier one is better.
        keep_last: Number of the latest ones.
        keep_best: Number of the best ones.

    >>> sorted(steps_to_keep({10: 0.5, 20: 0.4, 30: 0.6, 40: None}, keep_last=1, keep_best=1))
    [20, 40]
    """
    scored = sorted((score, step) for step, score in scores.items() if score is not None)
    return {*sorted(scores)[-keep_last:], *(step for _, step in scored[:keep_best])}


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
