"""Decides before a model is loaded whether its weights are spread over the processes."""

from __future__ import annotations

import torch

from halo_core.errors import UserError
from halo_core.stage import KnownModel, StageContext
from halo_models.device import pick_dtype
from halo_models.load import read_config
from halo_models.memory_use import device_bytes
from halo_models.shards import is_sharded
from halo_trainer.sharding.choice import Choice, accumulates, choose
from halo_trainer.sharding.versions import check_versions
from halo_trainer.sizes.known import shape_of
from halo_trainer.sizes.memory import Setting, held_bytes, least_bytes
from halo_trainer.sizes.training import lora_weights
from halo_trainer.train.checkpoints.host_memory import free_memory, processes_here
from halo_trainer.train.optimizers import Named
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
        UserError: When `sharding: full` was asked for with a store of the reference, or the
            installed torch or transformers cannot spread weights.
    """
    on_gpu = ranks.device.type == "cuda"
    needed, device = 0, None
    if recipe.sharding == "auto" and ranks.world > 1 and on_gpu:
        needed = _needed_bytes(recipe, context, ranks)
        # The smallest device decides for all.
        device = min(ranks.gather(device_bytes(ranks.device)))
    choice = choose(
        recipe.sharding,
        processes=ranks.world,
        needed=needed,
        device=device,
        refused="reference_store" if recipe.models.stores_reference else "",
    )
    if choice.reason:
        context.note(choice.reason)
    if choice.full:
        check_versions()
    if choice.full and recipe.models.stores_reference:
        raise UserError(
            "is on, but if weights are sharded all processes compute together, and each of them "
            "lacks other values of the store; leave reference_store out, or set sharding: none",
            location="reference_store",
        )
    return choice


def choose_exchange(parameters: Named, context: StageContext, ranks: Ranks) -> bool:
    """Returns whether gradients add up before they are exchanged, and notes why.

    Args:
        parameters: The trained parameters by name. Only if they are sharded is there a choice.
        context: The stage's log gets the reason.
        ranks: The processes.
    """
    weights = [parameter for _, parameter in parameters]
    if not any(map(is_sharded, weights)):
        return True
    gradients = sum(4 * weight.numel() for weight in weights)
    choice = accumulates(gradients=gradients, free=min(ranks.gather(free_bytes(ranks))))
    context.note(choice.reason)
    return choice.full


def free_bytes(ranks: Ranks) -> int:
    """Returns the free bytes of a process's device; a host's are divided among the processes.

    On a GPU, those that torch has reserved and does not use are free too.
    """
    if ranks.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(ranks.device)
        # Models and batches already use a part of the memory that torch has reserved.
        reserved, used = torch.cuda.memory_reserved, torch.cuda.memory_allocated
        return int(free + reserved(ranks.device) - used(ranks.device))
    return free_memory() // processes_here()


def _needed_bytes(recipe: Recipe, context: StageContext, ranks: Ranks) -> int:
    """Returns the bytes that `halo plan` counts for one device that holds everything."""
    shape = shape_of(KnownModel(config=read_config(context.models["from"]).to_dict()))
    reference, optimizer = recipe.models.with_reference, recipe.optimizer.name
    lora = recipe.models.lora
    if shape.architecture is None:
        trained = lora is None
        weights = shape.weights or 0
        held = least_bytes(weights, optimizer=optimizer, reference=reference, trained=trained)
        return round(held)
    dtype = pick_dtype(recipe.models.precision, ranks.device)
    setting = Setting(
        model=shape.architecture,
        precision="float32" if dtype == torch.float32 else "bfloat16",
        optimizer=optimizer,
        reference=reference,
        refreshed=recipe.task.reference_update is not None,
        adapters=None if lora is None else lora_weights(shape.architecture, lora.rank),
        checkpointing=recipe.models.gradient_checkpointing,
        devices=1,
        sharded=False,
        row=0,
        step=0,
    )
    return round(held_bytes(setting))
