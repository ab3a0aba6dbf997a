"""The rules that the core's test kit checks for every data source and every judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.testing import check_data_source, check_judge
from halo_data.components import (
    HH,
    OASST,
    SHP,
    BinaryToDemonstration,
    Jsonl,
    KeepFraction,
    LabelNoise,
    Mixture,
    Oracle,
    PairedToBinary,
    PairedToDemonstration,
    PairedToScored,
    ScoredToBinary,
    ScoredToPaired,
    SettleLabels,
    SplitOf,
    Toy,
    UltraFeedback,
)


@pytest.mark.parametrize("feedback", ["text", "demonstration", "binary", "paired"])
def test_toy_keeps_the_rules_of_data_sources(feedback: str) -> None:
    check_data_source(Toy(feedback=feedback, size=50))  # type: ignore[arg-type]


@pytest.mark.slow(seconds=7)
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


def test_conversions_of_scores_keep_the_rules_of_data_sources(
    write_rows: Callable[..., str],
) -> None:
    row = {"prompt": "Sky?", "completions": ["Blue.", "Grey.", "Red."], "scores": [2, 1, 0]}
    groups = Jsonl(path=write_rows([row]))
    check_data_source(ScoredToPaired(source=groups))
    check_data_source(ScoredToBinary(source=groups))
    check_data_source(PairedToScored(source=ScoredToPaired(source=groups)))


@pytest.mark.slow(seconds=7)
def test_choices_and_mixtures_keep_the_rules_of_data_sources() -> None:
    labels, pairs = Toy(size=50, feedback="binary"), Toy(size=50)
    check_data_source(SettleLabels(source=PairedToBinary(source=pairs)))
    check_data_source(KeepFraction(source=labels, desirable=0.3))
    check_data_source(LabelNoise(source=labels, share=0.3))
    check_data_source(LabelNoise(source=pairs, share=0.3))
    check_data_source(SplitOf(source=pairs, name="test"))
    check_data_source(Mixture(sources=[pairs, Toy(size=20, seed=2)], weights=[0.5, 2.0]))


@pytest.mark.slow(seconds=7)
def test_real_files_keep_the_rules_of_data_sources(real_data: Path, tmp_path: Path) -> None:
    # Each rule reads the rows several times. The tests of OASST read all 100 trees.
    lines = (real_data / "oasst" / "en_100_tree.jsonl").read_text("utf-8").splitlines(keepends=True)
    some = tmp_path / "trees.jsonl"
    some.write_text("".join(lines[::4]), "utf-8")
    trees = str(some)
    check_data_source(SHP(path=str(real_data / "shp_fixture")))
    check_data_source(OASST(path=trees, holdout=0.2))
    check_data_source(OASST(path=str(real_data / "oasst" / "flat_messages.jsonl"), pairs="all"))
    check_data_source(OASST(path=trees, feedback="scored"))


def test_ultrafeedback_keeps_the_rules_of_data_sources(write_rows: Callable[..., str]) -> None:
    pair = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}
    pair |= {"score_chosen": 8.0, "score_rejected": 2.0}  # type: ignore[dict-item]
    check_data_source(UltraFeedback(path=write_rows([pair])))
    answers = [{"response": text, "overall_score": 1.0} for text in ("Blue.", "Red.")]
    group = {"instruction": "Sky?", "completions": answers}
    check_data_source(UltraFeedback(path=write_rows([group], "groups.jsonl"), feedback="scored"))


def test_oracle_keeps_the_rules_of_judges(tmp_path: Path) -> None:
    check_judge(Oracle(), tmp_path)
