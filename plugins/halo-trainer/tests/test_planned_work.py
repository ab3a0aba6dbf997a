"""Stages say how much work they have, in a unit that stages of their kind share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from halo_core.stage import Known, Work
from halo_methods.components import KTO, SFT
from halo_trainer.sample.options import Sample
from halo_trainer.train.options import Train

KNOWN = Known(learned=100, rows={"data": 100}, row_bytes={"data": 50.0}, cache=Path("cache"))


def test_a_training_counts_bytes_and_passes() -> None:
    sft = Train(data="d", loss=SFT(), batch_size=8, steps=10)
    assert sft.work(KNOWN) == Work("train", 10 * 8 * 50 * 3)
    # A reference needs a fourth pass, and mismatched pairs one of each model.
    kto = Train(data="d", loss=KTO(), batch_size=8, steps=10)
    assert kto.work(KNOWN) == Work("train", 10 * 8 * 50 * 6)
    # Without steps, they follow from the number of rows.
    epochs = Train(data="d", loss=SFT(), batch_size=8, epochs=2)
    assert epochs.work(KNOWN) == Work("train", 2 * 13 * 8 * 50 * 3)


def test_a_training_whose_rows_are_not_known_is_unknown() -> None:
    stage = Train(data="d", loss=SFT(), batch_size=8, epochs=2)
    assert stage.work(replace(KNOWN, learned=None)) is None
    assert stage.work(replace(KNOWN, row_bytes={"data": None})) is None


def test_sampling_counts_prompts() -> None:
    sample = Sample(prompts="test", n=192, max_new_tokens=64)
    few = sample.work(replace(KNOWN, rows={"prompts": 100}))
    many = sample.work(replace(KNOWN, rows={"prompts": 10_000}))
    assert few is not None
    assert many is not None
    assert (few.amount, many.amount) == (100, 192)
    assert few.kind == many.kind
    longer = Sample(prompts="test", n=192, max_new_tokens=128).work(KNOWN)
    assert longer is not None
    assert longer.kind != many.kind
    assert Sample(prompts="test").work(replace(KNOWN, rows={"prompts": None})) is None
