"""The time of a training on devices, from arithmetic and an assumed utilisation."""

from __future__ import annotations

from halo_core.devices import Devices
from halo_trainer.sizes.architecture import Architecture

UTILISATION = 0.4
"""Assumed share of a device's bfloat16 peak that a training reaches.

References:
    Chowdhery et al. 2022, PaLM, section 4.1 and table 3: 46 % for PaLM, 21 to 33 % for earlier
    models; the definition of model FLOPs utilisation is theirs.
"""

COMPLETION_TOKENS = 512
"""Assumed number of tokens of a prompt with its completion. The real number is known later."""


def passes(*, reference: bool, reference_point: bool, checkpointing: bool) -> int:
    """Returns how often a step computes as much as one forward pass of the model does.

    Args:
        reference: Whether a reference model is scored.
        reference_point: Whether mismatched pairs are scored, by both models.
        checkpointing: Whether activations are computed twice.

    >>> passes(reference=True, reference_point=True, checkpointing=False)
    6
    """
    return 3 + checkpointing + reference + 2 * reference_point


def token_operations(
    weights: int, model: Architecture | None = None, *, length: int = COMPLETION_TOKENS
) -> float:
    """Returns the operations of a forward pass for a token.

    Each weight takes two, and attention to the earlier half of a sequence the rest.

    Args:
        weights: Number of weights that compute a token.
        model: The architecture; None leaves attention out.
        length: Number of tokens of a sequence.

    References:
        Kaplan et al. 2020, Scaling Laws for Neural Language Models, table 1.

    >>> token_operations(10**9)
    2000000000.0
    """
    attention = 0 if model is None else 2 * model.layers * model.query * length
    return float(2 * weights + attention)


def operations_per_second(devices: Devices, used: int) -> float:
    """Returns the operations per second that some of the devices are assumed to reach.

    Args:
        devices: The devices.
        used: Number of those that compute.
    """
    return used * UTILISATION * devices.tflops * 1e12
