"""Registers the losses, reference points and reference updates; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.registry import Registrar

_LOSSES = {
    "apo-down": "losses_paired:APODown",
    "apo-zero": "losses_paired:APOZero",
    "bradley-terry": "reward_models:BradleyTerry",
    "cdpo": "losses_paired:CDPO",
    "csft": "losses_likelihood:CSFT",
    "dpo": "losses_paired:DPO",
    "humanline": "humanline:Humanline",
    "ipo": "losses_paired:IPO",
    "kto": "losses_binary:KTO",
    "kto-log-sigmoid": "losses_binary:KTOLogSigmoid",
    "orpo": "losses_reference_free:ORPO",
    "ppo": "losses_ppo:PPO",
    "prospect": "losses_prospect:Prospect",
    "sft": "losses_likelihood:SFT",
    "simpo": "losses_reference_free:SimPO",
    "slic": "losses_reference_free:SLiC",
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
