"""The course of a training: it is set up, its steps are done, and the model is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from halo_core.stage import StageContext, StageResult
from halo_models.memory_use import is_out_of_memory
from halo_trainer.sharding.shard import is_spread
from halo_trainer.train.export import export_policy, pick_exported, training_result
from halo_trainer.train.export_shards import export_sharded_policy
from halo_trainer.train.loop import Loop
from halo_trainer.train.out_of_memory import RankOutOfMemory, outside_of_steps
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.recipe import Recipe
from halo_trainer.train.setup import Training, set_up

NO_STEP = "no step was begun; run the same command again to continue from what was saved"


def train(recipe: Recipe, context: StageContext) -> StageResult:
    """Trains a model, or continues from the latest checkpoint, and writes it to ``model/``.

    Args:
        recipe: The options of the training.
        context: The stage's inputs and outputs.

    Raises:
        UserError: When the data or the model cannot be used.
        NotFiniteError: When weights, a loss, a gradient or a metric are not finite. The state
            before is kept, unless the weights are not finite.
        DiskError: When there is too little room for what must be written. The last checkpoint is
            complete, and a finished training is kept.
        Interrupted: When asked to stop. The state is kept.
    """
    ranks = Ranks(recipe.device)
    try:
        with _deterministic(recipe.deterministic):
            loop = _all_steps(recipe, context, ranks)
            return _written_model(loop, recipe, context)
    except RankOutOfMemory:
        ranks.abandon()
        raise
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        ranks.abandon()
        raise outside_of_steps(error) from error
    finally:
        ranks.leave()


def _all_steps(recipe: Recipe, context: StageContext, ranks: Ranks) -> Loop:
    """Returns the loop after the last step."""
    with context.stop.at_once(NO_STEP):
        loop = Loop(
            set_up(recipe, context, ranks),
            context,
            recipe.intervals,
            recipe.learning_rate,
            recipe.optimizer.max_grad_norm,
            exports_best=recipe.kept.exported == "best",
            micro_batch_tokens=recipe.lengths.micro_batch,
            in_background=recipe.kept.in_background,
        )
    store = loop.training.store
    try:
        loop.run()
        if store is not None:
            store.finish()
    finally:
        if store is not None:
            store.close()
    return loop


def _written_model(loop: Loop, recipe: Recipe, context: StageContext) -> StageResult:
    """Writes the model of the exported step, and returns the result of the stage."""
    loop.see_to_room_for_model()
    training, state, ranks = loop.training, loop.state, loop.ranks
    # Rank 0 reads, so that all processes agree and see the same error.
    exported = ranks.from_main(
        lambda: pick_exported(training.checkpoints, state, recipe.kept.exported)
    )
    earlier = exported.step != state.step
    if earlier:
        ranks.from_main(lambda: training.checkpoints.check(exported.step))
    if ranks.main or is_spread(training.policy):
        if earlier:
            training.checkpoints.restore_weights(exported.step, training.parameters)
        adapted, folder = recipe.models.lora is not None, context.folder / "model"
        with context.progress.phase("saving the model"):
            _export(training, folder, adapted=adapted)
    ranks.wait()
    return training_result(state, exported, training.plan, training.remark)


def _export(training: Training, folder: Path, *, adapted: bool) -> None:
    policy, start = training.policy, training.start
    if is_spread(policy):
        export_sharded_policy(policy, start, folder, main=training.objective.ranks.main)
    else:
        export_policy(policy, start, folder, adapted=adapted)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
