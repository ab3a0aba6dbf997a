"""The approximate number of rows of data sets on the hub, without asking the hub."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core.data import DataSource
from halo_data.conversions.of_pairs import PairedToBinary, PairedToDemonstration
from halo_data.sources.hh import HH
from halo_data.sources.oasst import OASST
from halo_data.sources.shp import SHP
from halo_data.sources.ultrafeedback import UltraFeedback


@pytest.mark.parametrize(
    ("source", "split", "rows"),
    [
        (HH(), "train", 160_800),
        (HH(), "test", 8_552),
        (HH(subset="helpful-base"), "test", 2_354),
        (HH(subset="helpful-online"), "test", 1_137),
        (HH(hub="someone/else"), "train", None),
        (SHP(), "train", 85_000),
        (SHP(), "test", 18_409),
        (SHP(filtered="all"), "test", None),
        (SHP(min_ratio=1.0, max_pairs=None), "train", 348_718),
        (SHP(min_ratio=3.0), "train", None),
        (SHP(domain="askvet"), "train", None),
        (OASST(), "train", 14_500),
        (OASST(pairs="all"), "validation", 1_330),
        (OASST(language="de"), "train", None),
        (OASST(feedback="scored"), "train", None),
        (UltraFeedback(), "test", 2_000),
        (UltraFeedback(feedback="scored"), "train", 63_967),
        (PairedToBinary(source=HH()), "test", 2 * 8_552),
        (PairedToDemonstration(source=HH()), "test", 8_552),
        (PairedToBinary(source=SHP(min_ratio=3.0)), "train", None),
    ],
)
def test_the_size_is_told_only_where_it_was_published(
    source: Any, split: str, rows: int | None
) -> None:
    assert source.about_rows(split) == rows


def test_a_source_without_a_known_size_makes_that_of_its_conversion_unknown() -> None:
    class Unsized(DataSource):
        def inspect(self) -> Any: ...

        def load(self, split: str) -> Any: ...

    assert Unsized().about_rows("train") is None
    assert PairedToBinary(source=Unsized()).about_rows("train") is None
