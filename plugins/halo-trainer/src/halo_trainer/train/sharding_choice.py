"""Decides before a model is loaded whether its weights are spread over the processes."""

from __future__ import annotations

from halo_core.errors import UserError
from halo_core.stage import StageContext
from halo_models.device import pick_dtype
from halo_models.load import read_config
from halo_models.memory_use import device_bytes
from halo_models.skeleton import skeleton
from halo_trainer.sharding.choice import Choice, choose
from halo_trainer.train.memory_and_time import training_gigabytes
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.recipe import Recipe


def choose_sharding(recipe: Recipe, context: StageContext, ranks: Ranks) -> Choice:
    """Returns whether the weights are spread over the processes, alike on each, and tells why.

    Args:
        recipe: The options of the training.
        context: The stage's inputs and outputs. Its log gets the reason.
        ranks: The processes.

    Raises:
        ModelError: When the configuration of the model cannot be read.
        UserError: When the weights should be spread, and the reference has a store.
    """
    on_gpu = ranks.device.type == "cuda"
    needed, device = 0, None
    if recipe.sharding == "auto" and ranks.world > 1 and on_gpu:
        needed = _needed_bytes(recipe, context, ranks)
        # The smallest device decides for all.
        device = min(ranks.gather(device_bytes(ranks.device)))
    choice = choose(recipe.sharding, processes=ranks.world, needed=needed, device=device)
    if choice.reason:
        context.note(choice.reason)
    if choice.full and recipe.models.lora is not None:
        raise UserError(
            "cannot be exported from sharded weights yet; set sharding: none, or train all weights",
            location="lora",
        )
    if choice.full and recipe.models.stores_reference:
        raise UserError(
            "is on, but if weights are sharded all processes compute together, and each of them "
            "lacks other values of the store; leave reference_store out, or set sharding: none",
            location="reference_store",
        )
    return choice


def _needed_bytes(recipe: Recipe, context: StageContext, ranks: Ranks) -> int:
    network = skeleton(read_config(context.models["from"]))
    dtype = pick_dtype(recipe.models.precision, ranks.device)
    held = training_gigabytes(
        sum(parameter.numel() for parameter in network.parameters()),
        optimizer=recipe.optimizer.name,
        reference=recipe.models.with_reference,
        precision=str(dtype).removeprefix("torch."),
        trained_share=0.0 if recipe.models.lora is not None else 1.0,
        refreshed=recipe.task.reference_update is not None,
    )
    return round(1e9 * sum(held.values()))
