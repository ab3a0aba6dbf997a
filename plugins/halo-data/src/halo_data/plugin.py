"""Registers the data sources, the conversions, and the toy world's judge; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.registry import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.data("hh", "halo_data.components:HH")
    registry.data("shp", "halo_data.components:SHP")
    registry.data("oasst", "halo_data.components:OASST")
    registry.data("ultrafeedback", "halo_data.components:UltraFeedback")
    registry.data("qa-feedback", "halo_data.components:QAFeedback")
    registry.data("jsonl", "halo_data.components:Jsonl")
    registry.data("hub", "halo_data.components:Hub")
    registry.data("toy", "halo_data.components:Toy")
    registry.data(
        "paired-to-binary", "halo_data.components:PairedToBinary", converts=("paired", "binary")
    )
    registry.data(
        "paired-to-demonstration",
        "halo_data.components:PairedToDemonstration",
        converts=("paired", "demonstration"),
    )
    registry.data("binary-to-demonstration", "halo_data.components:BinaryToDemonstration")
    registry.data("settle-labels", "halo_data.components:SettleLabels")
    registry.data("scored-to-paired", "halo_data.components:ScoredToPaired")
    registry.data("scored-to-binary", "halo_data.components:ScoredToBinary")
    registry.data("keep-fraction", "halo_data.components:KeepFraction")
    registry.data("label-noise", "halo_data.components:LabelNoise")
    registry.data("mixture", "halo_data.components:Mixture")
    registry.data("split-of", "halo_data.components:SplitOf", picks_split="name")
    registry.judge("oracle", "halo_data.components:Oracle")
