"""Sets the dropout rate of a model, wherever it keeps it."""

from __future__ import annotations

from torch import nn


def set_dropout(model: nn.Module, rate: float) -> None:
    """Sets every dropout rate of a model: its dropout layers, and the rates its layers keep.

    Args:
        model: Changed in place.
        rate: From 0 (off) to below 1.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
                setattr(module, name, rate)
