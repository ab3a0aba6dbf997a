"""The components of this distribution, under the names by which the registry imports them."""

from halo_data.conversions import (
    BinaryToDemonstration,
    PairedToBinary,
    PairedToDemonstration,
    SettleLabels,
)
from halo_data.hh import HH
from halo_data.hub import Hub
from halo_data.jsonl import Jsonl
from halo_data.keep_fraction import KeepFraction
from halo_data.label_noise import LabelNoise
from halo_data.mixture import Mixture
from halo_data.oasst import OASST
from halo_data.oracle import Oracle
from halo_data.qa_feedback import QAFeedback
from halo_data.scored import ScoredToBinary, ScoredToPaired
from halo_data.shp import SHP
from halo_data.split_of import SplitOf
from halo_data.toy.source import Toy
from halo_data.ultrafeedback import UltraFeedback

__all__ = [
    "HH",
    "OASST",
    "SHP",
    "BinaryToDemonstration",
    "Hub",
    "Jsonl",
    "KeepFraction",
    "LabelNoise",
    "Mixture",
    "Oracle",
    "PairedToBinary",
    "PairedToDemonstration",
    "QAFeedback",
    "ScoredToBinary",
    "ScoredToPaired",
    "SettleLabels",
    "SplitOf",
    "Toy",
    "UltraFeedback",
]
