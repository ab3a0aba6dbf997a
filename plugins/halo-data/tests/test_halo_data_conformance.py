"""The rules that the core's test kit checks for every data source and every judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.testing import check_data_source, check_judge
from halo_data.components import (
    HH,
    BinaryToDemonstration,
    Jsonl,
    Oracle,
    PairedToBinary,
    PairedToDemonstration,
    Toy,
)


@pytest.mark.parametrize("feedback", ["text", "demonstration", "binary", "paired"])
def test_toy_keeps_the_rules_of_data_sources(feedback: str) -> None:
    check_data_source(Toy(feedback=feedback, size=50))  # type: ignore[arg-type]


def test_conversions_keep_the_rules_of_data_sources() -> None:
    pairs = Toy(size=50)
    check_data_source(PairedToBinary(source=pairs))
    check_data_source(PairedToDemonstration(source=pairs))
    check_data_source(BinaryToDemonstration(source=PairedToBinary(source=pairs)))


def test_files_keep_the_rules_of_data_sources(write_rows: Callable[..., str]) -> None:
    row = {"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [1, 0]}
    check_data_source(Jsonl(path=write_rows([row])))
    sides = {s: f"\n\nHuman: Hi\n\nAssistant: {s}" for s in ("chosen", "rejected")}
    check_data_source(HH(path=write_rows([sides], "test.jsonl")))


def test_oracle_keeps_the_rules_of_judges(tmp_path: Path) -> None:
    check_judge(Oracle(), tmp_path)
