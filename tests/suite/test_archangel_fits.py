"""The report's suite fits on the devices that its file names, by the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = Path(__file__).parents[2] / "examples" / "archangel.yaml"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, halo_in: Callable[..., Any]) -> Any:
    folder = tmp_path_factory.mktemp("archangel")
    done = halo_in(folder, "plan", str(SUITE), "--devices", "8x80GB", "--json")
    assert done.code == 0, done.err
    return done.json


def test_every_training_and_sampling_of_84_cells_fits_on_eight_gpus(planned: Any) -> None:
    assert planned["counts"]["cells"] == 84
    needed = {
        (stage["id"], stage["cells"][0]): stage["fit"]
        for stage in planned["stages"]
        if stage["id"] != "win"
    }
    assert {cell for stage in planned["stages"] for cell in stage["cells"]} == {
        cell["id"] for cell in planned["cells"]
    }
    # 7 models x (12 samplings, 10 alignments, 1 SFT).
    assert len(needed) == 7 * (12 + 10 + 1)
    for place, fit in needed.items():
        assert fit["fits"] is True, place
        assert 0 < fit["gigabytes"] <= 72, place
        assert fit["hours"] > 0, place
        assert fit["tokens_per_second"] > 0, place


def test_the_largest_model_is_counted_with_its_real_number_of_weights(planned: Any) -> None:
    (sft,) = [
        stage
        for stage in planned["stages"]
        if stage["id"] == "sft" and "llama-30b/SFT" in stage["cells"]
    ]
    assert sft["parameters"] == 32_528_943_616
    parts = sft["fit"]["parts"]
    # RMSprop: 12 bytes per weight over 8 devices, each part rounded up to a tenth.
    assert parts["weights"] == parts["gradients"] == parts["optimizer"] == 16.3
