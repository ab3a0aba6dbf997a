"""The components of this distribution, under the names by which the registry imports them."""

from halo_data.conversions import BinaryToDemonstration, PairedToBinary, PairedToDemonstration
from halo_data.hh import HH
from halo_data.hub import Hub
from halo_data.jsonl import Jsonl
from halo_data.oracle import Oracle
from halo_data.toy.source import Toy

__all__ = [
    "HH",
    "BinaryToDemonstration",
    "Hub",
    "Jsonl",
    "Oracle",
    "PairedToBinary",
    "PairedToDemonstration",
    "Toy",
]
