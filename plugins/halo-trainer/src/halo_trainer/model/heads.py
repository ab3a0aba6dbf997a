"""The heads that a loss adds to a model: made, read, and written with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from halo_core.loss import Head

FILE = "heads.safetensors"
"""File of the heads in a model folder."""


def make_heads(heads: Sequence[Head], model: Any, *, seed: int) -> nn.ModuleDict:
    """Returns the heads by name, in float32, with weights drawn from the seed.

    Args:
        heads: The heads that the loss needs.
        model: The language model whose hidden states the heads read.
        seed: Seed of the run, used for the weights.
    """
    if not heads:
        return nn.ModuleDict()
    width = int(model.config.get_text_config().hidden_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {head.name: _layers(head, width) for head in heads}
    return nn.ModuleDict(layers).to(next(model.parameters()).device)


def _layers(head: Head, width: int) -> nn.Sequential:
    hidden = [
        layer for _ in range(head.hidden_layers) for layer in (nn.Linear(width, width), nn.ReLU())
    ]
    # A linear head has no bias, like that of a sequence classifier.
    return nn.Sequential(*hidden, nn.Linear(width, 1, bias=bool(hidden)))


def read_head(module: nn.Module, head: Head, states: Tensor) -> Tensor:
    """Returns the output of a head for each state, float32 [N] or [B].

    Args:
        module: The head's layers.
        head: The description of the head.
        states: The model's last hidden states [N, D] or [B, D].
    """
    states = states.detach() if head.detached else states
    values: Tensor = module(states.float())[:, 0]
    return values


def write_heads(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes heads into a model folder, if there are any.

    Args:
        folder: The folder.
        weights: The `state_dict` of the heads, with whole tensors.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if tensors:
        save_file(tensors, folder / FILE)
