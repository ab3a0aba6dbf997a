"""Registers the stages that need torch; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.registry import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.stage("train", "halo_trainer.train_stage:Train")
    registry.stage("sample", "halo_trainer.sample_stage:Sample")
    registry.stage("scratch", "halo_trainer.scratch_stage:Scratch", makes_base_model=True)
