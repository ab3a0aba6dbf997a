"""The public names of this distribution's components. Each component has its own file."""

from halo_data.conversions.fractions import KeepFraction, LabelNoise
from halo_data.conversions.mixture import Mixture
from halo_data.conversions.of_pairs import (
    BinaryToDemonstration,
    PairedToBinary,
    PairedToDemonstration,
    SettleLabels,
)
from halo_data.conversions.of_scores import ScoredToBinary, ScoredToPaired
from halo_data.conversions.split_of import SplitOf
from halo_data.conversions.to_scores import PairedToScored
from halo_data.sources.files import Files
from halo_data.sources.hh import HH
from halo_data.sources.hub import Hub
from halo_data.sources.oasst import OASST
from halo_data.sources.qa_feedback import QAFeedback
from halo_data.sources.shp import SHP
from halo_data.sources.ultrafeedback import UltraFeedback
from halo_data.toy.oracle import Oracle
from halo_data.toy.source import Toy

Jsonl = Files
"""The earlier name of `Files`, for programs that import it."""

__all__ = [
    "HH",
    "OASST",
    "SHP",
    "BinaryToDemonstration",
    "Files",
    "Hub",
    "Jsonl",
    "KeepFraction",
    "LabelNoise",
    "Mixture",
    "Oracle",
    "PairedToBinary",
    "PairedToDemonstration",
    "PairedToScored",
    "QAFeedback",
    "ScoredToBinary",
    "ScoredToPaired",
    "SettleLabels",
    "SplitOf",
    "Toy",
    "UltraFeedback",
]
