"""Registers the losses and reference points; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.registry import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.loss("sft", "halo_methods.losses_likelihood:SFT")
    registry.loss("dpo", "halo_methods.losses_paired:DPO")
    registry.loss("kto", "halo_methods.losses_binary:KTO")
    registry.reference_point("mismatched-kl", "halo_methods.reference_points:MismatchedKL")
    registry.reference_point("zero", "halo_methods.reference_points:Zero")
