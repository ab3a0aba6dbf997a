"""The device and the precision, if the options leave them open."""

from __future__ import annotations

from typing import Literal

import torch

from halo_core.errors import UserError

Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(option: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Returns the device that an option means. auto is a GPU if there is one.

    Raises:
        UserError: When the option asks for a GPU and torch sees none.
    """
    if option == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "torch sees no GPU. Use device: cpu, or install a torch built for this machine's GPU",
            location="device",
        )
    return torch.device("cuda" if option != "cpu" and torch.cuda.is_available() else "cpu")


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Returns the dtype that a precision means. auto is bfloat16 on a GPU that supports it."""
    if precision == "auto":
        # Emulated bfloat16 loses digits and is not faster.
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
