"""A reference that takes in the weights of the policy during training.

Its weights have the same dtypes as the policy's: a trained weight is in float32 in every precision.
So a copy is exact, and both models then compute the same numbers. An average keeps small changes
that bfloat16 would round away. Every process mixes the same weights in the same way.

Heads that the loss adds belong only to the policy. Buffers have constants, and are not changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.load import read_config
from halo_models.shards import alike, local


class RefreshedReference:
    """The reference of a training, and its age.

    Args:
        policy: The model that is trained; a peft model if it has adapters.
        reference: The frozen model with the same architecture. Its weights are changed in place.
        shares: Share of the policy that goes into the reference before each step.
        location: Name of the reference in messages.

    Attributes:
        age: Age of the reference at the present step, in optimiser steps. For a copy, this is the
            number of steps since it was made. For an average, it is the mean age of the policies in
            it, by their weights. The first reference of a training is one of step 1.

    Raises:
        ModelError: When the two models have different weights or different constants.
    """

    def __init__(
        self, policy: nn.Module, reference: nn.Module, shares: Sequence[float], *, location: str
    ) -> None:
        _check_alike(policy, reference, location)
        self.age = 0.0
        self._shares = shares
        self._step = 0
        # By name, with tied weights only once, like named_parameters.
        theirs = dict(reference.named_parameters())
        self._policy: dict[str, Tensor] = {}
        self._reference: dict[str, Tensor] = {}
        for name, weight in policy.named_parameters():
            other = theirs[name]
            if other.dtype != weight.dtype:
                other.data = other.data.to(weight.dtype)
            # Weights that are not trained and equal at the start (under an adapter) stay equal.
            if weight.requires_grad or not alike(weight, other):
                self._policy[name], self._reference[name] = weight, other

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Updates the reference for a step. It is called once for each step, in order."""
        if step == self._step:
            return  # It was already updated for this step, which was then interrupted.
        share = self._shares[step - 1]
        # Both models are spread over the processes alike, so each mixes the rows it has.
        policy = [local(weight) for weight in self._policy.values()]
        reference = [local(weight) for weight in self._reference.values()]
        if share == 1:
            torch._foreach_copy_(reference, policy)
        elif share > 0:
            torch._foreach_lerp_(reference, policy, share)
        self.age = (1 - share) * (self.age + (step > 1))
        self._step = step

    @property
    def size(self) -> int:
        """Bytes of `tensors`."""
        return sum(weight.numel() * weight.element_size() for weight in self._reference.values())

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights that have changed, or may change, by name."""
        return self._reference

    @property
    def place(self) -> Mapping[str, str]:
        """The step that it was last updated for and its age, as texts."""
        return {"step": str(self._step), "age": repr(self.age)}

    @place.setter
    def place(self, place: Mapping[str, str]) -> None:
        self._step, self.age = int(place["step"]), float(place["age"])


def check_architectures(policy: ModelInput, reference: ModelInput) -> None:
    """Checks, from their configurations, that a reference can take in a policy's weights.

    The sizes of the vocabularies are not compared: training makes them equal.

    Raises:
        ModelError: When it cannot, or a configuration cannot be read.
    """
    configs = [copy.deepcopy(read_config(model)) for model in (policy, reference)]
    size = max(config.get_text_config().vocab_size for config in configs)
    ours, theirs = (_skeleton(config, size) for config in configs)
    _refuse(_shapes_differ(ours, theirs), reference.path)


def _skeleton(config: Any, vocabulary: int) -> nn.Module:
    """Returns a model without weights, only with their names and shapes."""
    from transformers import AutoModelForCausalLM

    config.get_text_config().vocab_size = vocabulary
    with torch.device("meta"):
        model: nn.Module = AutoModelForCausalLM.from_config(config)
    return model


def _check_alike(policy: nn.Module, reference: nn.Module, location: str) -> None:
    _refuse(_shapes_differ(policy, reference) or _constants_differ(policy, reference), location)


def _refuse(difference: str | None, location: str) -> None:
    if difference is not None:
        raise ModelError(
            f"the reference cannot take in the weights of the model that is trained: {difference}. "
            "Give a reference of the same architecture and size, or leave reference_update out",
            location=location,
        )


def _shapes_differ(policy: nn.Module, reference: nn.Module) -> str | None:
    """Returns the first difference in shape between two models' weights; None if there is none."""
    ours, theirs = (
        {name: list(weight.shape) for name, weight in model.named_parameters()}
        for model in (policy, reference)
    )
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            return f"{name} is {_shape(theirs.get(name))} in it, and {_shape(ours.get(name))} there"
    return None


def _shape(shape: list[int] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape))


def _constants_differ(policy: nn.Module, reference: nn.Module) -> str | None:
    ours, theirs = dict(policy.named_buffers()), dict(reference.named_buffers())
    for name in [*ours, *theirs]:
        if name not in ours or name not in theirs or not torch.equal(ours[name], theirs[name]):
            return f"the constant {name} is another one"
    return None
