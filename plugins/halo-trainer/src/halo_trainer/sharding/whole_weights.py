"""The weights of a sharded model for its folder, gathered a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from halo_models.shards import whole
from halo_trainer.sharding.gathered import gathered
from halo_trainer.sharding.shard import blocks_of

Tensors = dict[str, Tensor]


def whole_weights(model: Any) -> Iterator[Tensors]:
    """Yields the weights of a model by their names in its files, those of a block together.

    All processes must take all of them, in step, because they exchange them. Tied weights come
    once. Changes that transformers made when it loaded the model (stacked experts) are undone. A
    peft model comes merged, in float32: peft merges one layer after another.

    Args:
        model: A causal language model of transformers, or a peft model around one. Its weights may
            be sharded.
    """
    from transformers.core_model_loading import revert_weight_conversion

    base = base_of(model)
    for makers in _groups(base):
        tensors = {name: tensor for make in makers for name, tensor in make().items()}
        if base is not model:
            tensors = {name: tensor.float() for name, tensor in tensors.items()}
        yield revert_weight_conversion(base, tensors)


def base_of(model: Any) -> Any:
    """Returns the model of transformers inside of a peft model, or a model itself."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def _groups(base: Any) -> Iterator[list[Callable[[], Tensors]]]:
    """Yields functions for the weights and buffers of each block, and for each other one alone."""
    left_out = {*(base._keys_to_ignore_on_save or ())}
    if base.config.get_text_config().tie_word_embeddings:
        left_out |= {*(base.all_tied_weights_keys or ())}
    makers = {name: make for name, make in _makers(base, "") if name not in left_out}
    blocks = {id(block) for block in blocks_of(base)}
    for path, module in base.named_modules():
        if id(module) in blocks:
            names = [name for name in makers if name.startswith(f"{path}.")]
            yield [makers.pop(name) for name in names]
    for make in makers.values():
        yield [make]


def _makers(module: nn.Module, path: str) -> Iterator[tuple[str, Callable[[], Tensors]]]:
    """Yields a name and a function that gathers; of an adapted layer, that of its weight."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
        yield f"{path}.weight", lambda: _merged(module, path)
        return
    before = f"{path}." if path else ""
    stored = [(n, b) for n, b in module._buffers.items() if n in module.state_dict(prefix="")]
    for name, tensor in [*module._parameters.items(), *stored]:
        if tensor is not None:
            yield before + name, _maker(before + name, tensor)
    for name, child in module._modules.items():
        if child is not None:
            yield from _makers(child, before + name)


def _maker(name: str, tensor: Tensor) -> Callable[[], Tensors]:
    return lambda: {name: whole(tensor)}


def _merged(module: Any, path: str) -> Tensors:
    """Returns the weights of an adapted layer with its update, in float32."""
    from peft.utils.other import AuxiliaryTrainingWrapper

    with gathered(module, dtype=torch.float32):
        if isinstance(module, AuxiliaryTrainingWrapper):
            layer = module.unload_and_optionally_merge_module(True, False, None)
        else:
            module.merge()
            layer = module.get_base_layer()
        return {f"{path}.{name}": p.detach() for name, p in layer.named_parameters()}


def untie_adapted_head(base: Any) -> None:
    """Lets an output head with low-rank factors be stored by itself, not tied to the embedding."""
    from peft.tuners.lora import LoraLayer

    if isinstance(base.get_output_embeddings(), LoraLayer):
        base.config.tie_word_embeddings = False


def gather_heads(heads: nn.ModuleDict) -> Tensors:
    """Returns the weights of heads by name. All processes must call it."""
    return {name: whole(tensor) for name, tensor in heads.state_dict().items()}


def gather_adapter(peft_model: nn.Module) -> Mapping[str, Tensor]:
    """Returns the trained weights of a peft model by name. All processes must call it."""
    return {n: whole(p).cpu() for n, p in peft_model.named_parameters() if p.requires_grad}
