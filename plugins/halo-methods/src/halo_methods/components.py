"""All losses, reference points and reference updates of this distribution, for Python code.

The registry names the file that each is in, so that a run imports only what it uses.
"""

from __future__ import annotations

from halo_methods.humanline import Humanline
from halo_methods.losses_binary import KTO, KTOLogSigmoid
from halo_methods.losses_likelihood import CSFT, SFT
from halo_methods.losses_paired import CDPO, DPO, IPO, APODown, APOZero
from halo_methods.losses_ppo import PPO
from halo_methods.losses_prospect import Prospect
from halo_methods.losses_reference_free import ORPO, SimPO, SLiC
from halo_methods.reference_points import (
    Dispreferred,
    MatchedKL,
    MismatchedKL,
    RunningMean,
    Zero,
)
from halo_methods.reference_updates import EMA, Copy
from halo_methods.reward_models import BradleyTerry
from halo_methods.weighted_sum import WeightedSum

__all__ = [
    "CDPO",
    "CSFT",
    "DPO",
    "EMA",
    "IPO",
    "KTO",
    "ORPO",
    "PPO",
    "SFT",
    "APODown",
    "APOZero",
    "BradleyTerry",
    "Copy",
    "Dispreferred",
    "Humanline",
    "KTOLogSigmoid",
    "MatchedKL",
    "MismatchedKL",
    "Prospect",
    "RunningMean",
    "SLiC",
    "SimPO",
    "WeightedSum",
    "Zero",
]
