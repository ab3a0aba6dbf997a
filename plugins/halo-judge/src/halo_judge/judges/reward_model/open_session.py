"""Opens the session of the judge `reward-model`, in this process or in several others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from halo_core.errors import UserError
from halo_judge.judges.reward_model.classifier import RewardClassifier
from halo_judge.judges.reward_model.recipe import JUDGE, Recipe
from halo_judge.judges.reward_model.reward_session import RewardSession
from halo_judge.judges.reward_model.score_processes import ScoreProcesses
from halo_models.device import places


@contextmanager
def open_session(
    recipe: Recipe,
    *,
    device: Literal["auto", "cpu", "cuda"],
    processes: int,
    warn: Callable[[str], None],
) -> Iterator[RewardSession]:
    """Opens a session, and ends its processes with the block.

    Args:
        recipe: The classifier, and how it scores.
        device: The device to compute on.
        processes: Number of processes. A single one is this process.
        warn: Receives a warning if texts will be scored one at a time.

    Raises:
        UserError: When there is no GPU, or fewer GPUs than processes. Nothing is loaded then.
        ModelError: When it is not a classifier with weights, or lacks the label.
        WorkerError: When a process fails.
    """
    try:
        found = places(device, processes)
    except UserError as error:
        raise UserError(error.message, location=JUDGE) from error
    if processes == 1:
        yield RewardSession(RewardClassifier(recipe, found[0], warn=warn))
        return
    with ScoreProcesses(recipe, found, warn) as started:
        yield RewardSession(started)
