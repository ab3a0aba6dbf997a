"""All losses, reference points and reference updates of this distribution, for Python code.

The registry names the file of each component, so that a run imports only the files that it uses.
"""

from __future__ import annotations

from halo_methods.apo import APODown, APOZero
from halo_methods.bradley_terry import BradleyTerry
from halo_methods.dpo import CDPO, DPO
from halo_methods.grpo import GRPO
from halo_methods.humanline import Humanline
from halo_methods.ipo import IPO
from halo_methods.kto import KTO, KTOLogSigmoid
from halo_methods.nca import NCA, InfoNCA
from halo_methods.orpo import ORPO
from halo_methods.ppo import PPO
from halo_methods.prospect import Prospect
from halo_methods.reference_points import (
    Dispreferred,
    MatchedKL,
    MismatchedKL,
    RunningMean,
    Zero,
)
from halo_methods.reference_updates import EMA, Copy
from halo_methods.sft import CSFT, SFT
from halo_methods.simpo import SimPO
from halo_methods.slic import SLiC
from halo_methods.weighted_sum import WeightedSum

__all__ = [
    "CDPO",
    "CSFT",
    "DPO",
    "EMA",
    "GRPO",
    "IPO",
    "KTO",
    "NCA",
    "ORPO",
    "PPO",
    "SFT",
    "APODown",
    "APOZero",
    "BradleyTerry",
    "Copy",
    "Dispreferred",
    "Humanline",
    "InfoNCA",
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
