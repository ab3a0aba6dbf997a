"""Registers the losses, reference points and reference updates, with no slow imports."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar

_LOSSES = {
    "apo-down": "apo:APODown",
    "apo-zero": "apo:APOZero",
    "bradley-terry": "bradley_terry:BradleyTerry",
    "cdpo": "dpo:CDPO",
    "csft": "sft:CSFT",
    "dpo": "dpo:DPO",
    "grpo": "grpo:GRPO",
    "humanline": "humanline:Humanline",
    "info-nca": "nca:InfoNCA",
    "ipo": "ipo:IPO",
    "kto": "kto:KTO",
    "kto-log-sigmoid": "kto:KTOLogSigmoid",
    "nca": "nca:NCA",
    "orpo": "orpo:ORPO",
    "ppo": "ppo:PPO",
    "prospect": "prospect:Prospect",
    "sft": "sft:SFT",
    "simpo": "simpo:SimPO",
    "slic": "slic:SLiC",
    "weighted-sum": "weighted_sum:WeightedSum",
}
_REFERENCE_POINTS = {
    "dispreferred": "reference_points:Dispreferred",
    "matched-kl": "reference_points:MatchedKL",
    "mismatched-kl": "reference_points:MismatchedKL",
    "running-mean": "reference_points:RunningMean",
    "zero": "reference_points:Zero",
}
_REFERENCE_UPDATES = {
    "copy": "reference_updates:Copy",
    "ema": "reference_updates:EMA",
}


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    for name, target in _LOSSES.items():
        registry.loss(name, f"halo_methods.{target}")
    for name, target in _REFERENCE_POINTS.items():
        registry.reference_point(name, f"halo_methods.{target}")
    for name, target in _REFERENCE_UPDATES.items():
        registry.reference_update(name, f"halo_methods.{target}")
