"""All losses and reference points of this distribution, for Python code.

The registry names the file that each is in, so that a run imports only what it uses.
"""

from __future__ import annotations

from halo_methods.losses_binary import KTO
from halo_methods.losses_likelihood import SFT
from halo_methods.losses_paired import DPO
from halo_methods.reference_points import MismatchedKL, Zero

__all__ = ["DPO", "KTO", "SFT", "MismatchedKL", "Zero"]
