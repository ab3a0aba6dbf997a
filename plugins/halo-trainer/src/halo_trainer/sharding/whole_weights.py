"""The weights of a sharded model for its folder, gathered a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from halo_models.shards import whole
from halo_trainer.sharding.shard import blocks_of


def whole_weights(model: Any) -> Iterator[dict[str, Tensor]]:
    """Yields the weights of a model by their names in its files, those of a block together.

    All processes must take all of them, in step, because they exchange them. Tied weights come
    once. Changes that transformers made when it loaded the model (stacked experts) are undone.

    Args:
        model: A causal language model of transformers. Its weights may be sharded.
    """
    from transformers.core_model_loading import revert_weight_conversion

    for names in _groups(model):
        tensors = {name: whole(tensor) for name, tensor in names.items()}
        yield revert_weight_conversion(model, tensors)


def _groups(model: Any) -> Iterator[dict[str, Tensor]]:
    """Yields the weights and persistent buffers of each block, and each other one alone."""
    left_out = {*(model.all_tied_weights_keys or ()), *(model._keys_to_ignore_on_save or ())}
    sources = model.state_dict(keep_vars=True)
    kept = {name: t for name, t in sources.items() if name not in left_out}
    for name, module in model.named_modules():
        if any(module is block for block in blocks_of(model)):
            yield {key: kept.pop(key) for key in list(kept) if key.startswith(f"{name}.")}
    for name, tensor in kept.items():
        yield {name: tensor}


def gather_heads(heads: nn.ModuleDict) -> dict[str, Tensor]:
    """Returns the weights of heads by name. All processes must call it."""
    return {name: whole(tensor) for name, tensor in heads.state_dict().items()}
