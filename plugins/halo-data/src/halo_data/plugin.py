"""Registers the data sources, the conversions and the toy world's judge; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.data("hh", "halo_data.sources.hh:HH")
    registry.data("shp", "halo_data.sources.shp:SHP")
    registry.data("oasst", "halo_data.sources.oasst:OASST")
    registry.data("ultrafeedback", "halo_data.sources.ultrafeedback:UltraFeedback")
    registry.data("qa-feedback", "halo_data.sources.qa_feedback:QAFeedback")
    registry.data("files", "halo_data.sources.files:Files")
    # The older name of the same component. It keeps the identity of stages whose specs use it.
    registry.data("jsonl", "halo_data.sources.files:Files")
    registry.data("hub", "halo_data.sources.hub:Hub")
    registry.data("toy", "halo_data.toy.source:Toy")
    registry.data(
        "paired-to-binary",
        "halo_data.conversions.of_pairs:PairedToBinary",
        converts=("paired", "binary"),
    )
    registry.data(
        "paired-to-demonstration",
        "halo_data.conversions.of_pairs:PairedToDemonstration",
        converts=("paired", "demonstration"),
    )
    registry.data("binary-to-demonstration", "halo_data.conversions.of_pairs:BinaryToDemonstration")
    registry.data("settle-labels", "halo_data.conversions.of_pairs:SettleLabels")
    registry.data("paired-to-scored", "halo_data.conversions.to_scores:PairedToScored")
    registry.data("scored-to-paired", "halo_data.conversions.of_scores:ScoredToPaired")
    registry.data("scored-to-binary", "halo_data.conversions.of_scores:ScoredToBinary")
    registry.data("keep-fraction", "halo_data.conversions.fractions:KeepFraction")
    registry.data("label-noise", "halo_data.conversions.fractions:LabelNoise")
    registry.data("mixture", "halo_data.conversions.mixture:Mixture")
    registry.data("split-of", "halo_data.conversions.split_of:SplitOf", picks_split="name")
    registry.judge("oracle", "halo_data.toy.oracle:Oracle")
