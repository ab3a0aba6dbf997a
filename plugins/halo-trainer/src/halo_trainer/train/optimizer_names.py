"""The optimisers that a spec can name, and their options; known without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from halo_core.errors import did_you_mean

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
"""Name in `torch.optim` to the options of its constructor that `optimizer_options` may hold.

Those which need a closure, sparse gradients or matrices only (LBFGS, SparseAdam, Muon) are left
out, and those whose steps do not follow the learning rate (Rprop, ASGD, Adafactor).
"""


def optimizer_name(name: str) -> str:
    """Returns the name in `torch.optim` that is meant, whatever its case.

    Raises:
        ValueError: When there is none; it names the nearest.

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
