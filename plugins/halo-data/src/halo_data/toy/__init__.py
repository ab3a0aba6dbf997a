"""The toy world: generated prompts and completions with a known utility."""

from halo_data.toy.facts import FACTS, Fact
from halo_data.toy.utility import Utility, utility

__all__ = ["FACTS", "Fact", "Utility", "utility"]
