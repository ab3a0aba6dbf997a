"""Optimisers of torch by name, their options, and their state as plain tensors.

A spec's options are checked without torch. Only functions that make an optimiser import it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from halo_core.errors import did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Named: TypeAlias = "list[tuple[str, nn.Parameter]]"
Option = float | bool | list[float]

OPTIMIZERS: Mapping[str, frozenset[str]] = {
    "Adadelta": frozenset({"rho", "eps"}),
    "Adagrad": frozenset({"lr_decay", "initial_accumulator_value", "eps"}),
    "Adam": frozenset({"betas", "eps", "amsgrad"}),
    "AdamW": frozenset({"betas", "eps", "amsgrad"}),
    "Adamax": frozenset({"betas", "eps"}),
    "NAdam": frozenset({"betas", "eps", "momentum_decay"}),
    "RAdam": frozenset({"betas", "eps"}),
    "RMSprop": frozenset({"alpha", "eps", "momentum", "centered"}),
    "SGD": frozenset({"momentum", "dampening", "nesterov"}),
}
"""Options of each constructor in `torch.optim` that `optimizer_options` may contain, by name.

Optimisers that need a closure, sparse gradients or only matrices (LBFGS, SparseAdam, Muon) are left
out. So are those whose steps do not follow the learning rate (Rprop, ASGD, Adafactor).
"""


def optimizer_name(name: str) -> str:
    """Returns the matching name in `torch.optim`, ignoring case.

    Raises:
        ValueError: When there is none. The error suggests the nearest name.

    >>> optimizer_name("rmsprop")
    'RMSprop'
    """
    names = {known.lower(): known for known in OPTIMIZERS}
    if name.lower() in names:
        return names[name.lower()]
    raise ValueError(
        f"no optimizer named {name!r}.{did_you_mean(name.lower(), names)} "
        f"Known: {', '.join(sorted(names))}"
    )


def unknown_options(name: str, options: Iterable[str]) -> list[str]:
    """Returns one message per option that the optimiser does not have."""
    known = OPTIMIZERS[optimizer_name(name)]
    return [
        f"{optimizer_name(name)} has no option {option!r}.{did_you_mean(option, known)} "
        f"Known: {', '.join(sorted(known))}"
        for option in options
        if option not in known
    ]


def wrong_values(name: str, options: Mapping[str, Option]) -> list[str]:
    """Returns one message for each value that the optimiser's option cannot take.

    >>> wrong_values("AdamW", {"betas": [1.5, 0.9]})
    ['betas: got [1.5, 0.9]; expected two numbers of at least 0 and below 1']
    """
    known = OPTIMIZERS[optimizer_name(name)]
    return [
        f"{option}: got {value}; expected {expected}"
        for option, value in options.items()
        if option in known
        for expected, holds in [_RULES.get(option, _NOT_NEGATIVE)]
        if not holds(value)
    ]


def _is_share(value: object) -> bool:
    return isinstance(value, float) and 0 <= value < 1


def _is_not_negative(value: object) -> bool:
    return isinstance(value, float) and value >= 0


def _are_shares(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_share, value))


Rule = tuple[str, Callable[[object], bool]]
_FUSED_ON_SHARDS = frozenset({"Adam", "AdamW"})
"""Optimisers whose fused step torch can take on sharded weights."""

_SHARE: Rule = ("a number of at least 0 and below 1", _is_share)
_NOT_NEGATIVE: Rule = ("a number of at least 0", _is_not_negative)
_SWITCH: Rule = ("true or false", lambda value: isinstance(value, bool))
_RULES: Mapping[str, Rule] = {
    "betas": ("two numbers of at least 0 and below 1", _are_shares),
    "rho": _SHARE,
    "alpha": _SHARE,
    "momentum": _SHARE,
    "amsgrad": _SWITCH,
    "centered": _SWITCH,
    "nesterov": _SWITCH,
}
"""Allowed values of an optimiser's options. Options that are not here take a number >= 0."""


def trainable(module: nn.Module) -> Named:
    """Returns the trained parameters by name, shared ones once."""
    return [(n, p) for n, p in module.named_parameters() if p.requires_grad]


def make_optimizer(
    parameters: Named, name: str, *, weight_decay: float, options: Mapping[str, Option]
) -> torch.optim.Optimizer:
    """Returns an optimiser. Its learning rate is set at each step.

    Args:
        parameters: Parameters by name. Those with fewer than two axes (biases, norms) do not decay.
        name: Name of the optimiser in `torch.optim`.
        weight_decay: Weight decay of all other parameters.
        options: Further options of the optimiser. Lists become tuples.
    """
    import torch

    from halo_models.shards import is_sharded

    kind = getattr(torch.optim, name)
    arguments: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
    }
    sharded = any(is_sharded(parameter) for _, parameter in parameters)
    if "fused" in inspect.signature(kind).parameters and (name in _FUSED_ON_SHARDS or not sharded):
        arguments["fused"] = True
    matrices = [p for _, p in parameters if p.ndim >= 2]
    others = [p for _, p in parameters if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # The rate is set at each step. It starts at 0, so a step that forgets to set it has no effect.
    optimizer: torch.optim.Optimizer = kind([g for g in groups if g["params"]], lr=0.0, **arguments)
    return optimizer


def update_weights(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Takes one step along the gradients, and drops them."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def state_tensors(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, Tensor]:
    """Returns the tensors of the optimiser's state, by ``parameter/entry``."""
    import torch

    return {
        f"{name}/{key}": torch.as_tensor(value).detach()
        for name, parameter in parameters
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def load_state_tensors(
    optimizer: torch.optim.Optimizer, parameters: Named, tensors: Mapping[str, Tensor]
) -> None:
    """Restores the result of `state_tensors`, each entry on the device that the optimiser uses."""
    fused = bool(optimizer.defaults.get("fused"))
    for name, parameter in parameters:
        for entry, value in _entries(name, tensors):
            # Counters stay on the CPU unless the fused kernel reads them on the device.
            placed = value if value.ndim == 0 and not fused else value.to(parameter.device)
            optimizer.state[parameter][entry] = placed


def _entries(name: str, tensors: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    prefix = f"{name}/"
    return [(key.removeprefix(prefix), t) for key, t in tensors.items() if key.startswith(prefix)]
