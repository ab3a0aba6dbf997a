"""The memory in the output of `halo plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import Known
from halo_methods.components import DPO, EMA, Copy
from halo_trainer.train.memory_and_time import training_gigabytes
from halo_trainer.train.options import Train


def test_memory_of_a_billion_weights() -> None:
    sizes = {"optimizer": "AdamW", "reference": True}
    full = training_gigabytes(10**9, precision="float32", **sizes)
    assert full == {"weights": 4.0, "gradients": 4.0, "optimizer": 8.0, "reference": 4.0}
    low = training_gigabytes(10**9, precision="bfloat16", trained_share=0.0, **sizes)
    assert low == {"weights": 2.0, "gradients": 0.0, "optimizer": 0.0, "reference": 2.0}


def test_a_reference_that_takes_in_weights_is_held_as_the_policy_is() -> None:
    sizes = {"optimizer": "SGD", "reference": True, "refreshed": True}
    for precision, adapted in (("float32", 4.0), ("bfloat16", 2.0)):
        full = training_gigabytes(10**9, precision=precision, **sizes)
        low = training_gigabytes(10**9, precision=precision, trained_share=0.0, **sizes)
        assert (full["reference"], low["reference"]) == (4.0, adapted)
        assert (full["weights"], low["weights"]) == (4.0, adapted)


def test_the_plan_counts_the_copy_of_a_checkpoint_in_host_memory(tmp_path: Path) -> None:
    def line(**options: Any) -> str | None:
        stage = Train(data="d", loss=DPO(), **options)
        return stage.forecast(Known(weights=1_000_000_000, cache=tmp_path)).size.get("host")

    assert line() == "12.0 GB for the copy of a checkpoint"
    assert line(reference_update=EMA(decay=0.9)) == "16.0 GB for the copy of a checkpoint"
    assert line(lora={"rank": 2}) == "0.120 GB for the copy of a checkpoint"
    assert line(async_checkpoints=False) is None


def test_the_plan_counts_a_reference_that_takes_in_weights(tmp_path: Path) -> None:
    def line(update: ReferenceUpdate | None) -> str:
        stage = Train(data="d", loss=DPO(), reference_update=update)
        return stage.forecast(Known(weights=1_000_000_000, cache=tmp_path)).size["bfloat16"]

    assert line(None).startswith("18.0 GB and activations")
    assert line(EMA(decay=0.9)).startswith("20.0 GB and activations")
    assert line(Copy(every=1)).endswith("optimizer 8.0, reference 4.0)")
