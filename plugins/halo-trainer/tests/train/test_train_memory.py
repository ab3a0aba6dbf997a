"""The memory in the output of `halo plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halo_core.devices import parse_devices
from halo_core.fit import Fit
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import Forecast, Known, KnownModel
from halo_methods.components import DPO, EMA, KTO, SFT
from halo_trainer.train.options import Train

EIGHT = parse_devices("8x80GB")


def forecast(tmp_path: Path, model: KnownModel, **options: Any) -> Forecast:
    stage = Train(data="d", **{"loss": DPO(), **options})
    known = Known(weights=model.weights, cache=tmp_path, models={"from": model}, devices=EIGHT)
    return stage.forecast(known)


def fit_of(tmp_path: Path, hub: str, **options: Any) -> Fit:
    fit = forecast(tmp_path, KnownModel(hub=hub, weights=1), **options).fit
    assert fit is not None
    return fit


def test_the_plan_counts_the_copy_of_a_checkpoint_in_host_memory(tmp_path: Path) -> None:
    def line(**options: Any) -> str | None:
        return forecast(tmp_path, KnownModel(weights=10**9), **options).size.get("host")

    assert line() == "12.0 GB for the copy of a checkpoint"
    assert line(reference_update=EMA(decay=0.9)) == "16.0 GB for the copy of a checkpoint"
    assert line(lora={"rank": 2}) == "0.120 GB for the copy of a checkpoint"
    assert line(async_checkpoints=False) is None


def test_the_plan_counts_a_reference_that_takes_in_weights(tmp_path: Path) -> None:
    def reference(update: ReferenceUpdate | None) -> float:
        fit = fit_of(tmp_path, "EleutherAI/pythia-1.4b", reference_update=update)
        return fit.parts["reference"]

    # Frozen: 2 bytes per weight of a matrix, 4 per embedding and norm.
    assert reference(None) == 3.1
    assert reference(EMA(decay=0.9)) == 5.7


def test_a_published_model_has_its_own_size_and_not_that_of_its_name(tmp_path: Path) -> None:
    said = forecast(tmp_path, KnownModel(hub="huggyllama/llama-30b", weights=30_000_000_000))
    assert said.weights == 32_528_943_616
    assert said.size["weights"] == "32,528.94M, from the sizes of its llama configuration"
    assert said.config is not None
    assert said.config["num_hidden_layers"] == 60


def test_options_of_the_spec_decide_what_fits(tmp_path: Path) -> None:
    alone = fit_of(tmp_path, "huggyllama/llama-30b")
    assert alone.fits is False
    whole = {
        "processes": 8,
        "sharding": "full",
        "gradient_checkpointing": True,
        "micro_batch_tokens": 16_384,
        "optimizer": "RMSprop",
    }
    fit = fit_of(tmp_path, "huggyllama/llama-30b", **whole)
    assert (fit.fits, fit.used) == (True, 8)
    assert "micro-batches: all of a step's 16,384 tokens; sharding: full" in fit.assumed
    assert fit.assumed[-1].startswith("no time for exchanging gradients and weights")
    # Pairs have twice the tokens of single completions.
    single = fit_of(tmp_path, "huggyllama/llama-30b", loss=KTO(), **whole)
    assert single.gigabytes < fit.gigabytes
    # AdamW has one more float32 value per weight: 4 x 32.5 / 8 GB more.
    adamw = fit_of(tmp_path, "huggyllama/llama-30b", **{**whole, "optimizer": "AdamW"})
    assert adamw.gigabytes - fit.gigabytes == pytest.approx(16.3, abs=0.11)
    assert adamw.fits is False


def test_the_devices_of_the_plan_are_those_of_each_machine(tmp_path: Path) -> None:
    options = {"sharding": "full", "micro_batch_tokens": 8192, "gradient_checkpointing": True}
    one = fit_of(tmp_path, "huggyllama/llama-7b", processes=8, **options)
    two = fit_of(tmp_path, "huggyllama/llama-7b", processes=8, machines=2, **options)
    assert (one.used, two.used) == (8, 16)
    assert two.fits
    assert two.gigabytes < one.gigabytes
    many = fit_of(tmp_path, "huggyllama/llama-7b", processes=16, **options)
    assert many.problem == "16 processes need as many devices"


def test_a_model_without_its_configuration_is_not_said_to_fit(tmp_path: Path) -> None:
    said = forecast(tmp_path, KnownModel(hub="someone/small-1b", weights=10**9), loss=SFT())
    assert said.fit is not None
    assert (said.fit.fits, said.fit.gigabytes) == (None, 16.0)
    assert said.size["memory"].startswith("at least 16.0 GB and activations; ")
    large = forecast(tmp_path, KnownModel(hub="someone/large-9b", weights=9 * 10**9), loss=SFT())
    assert large.fit is not None
    assert large.fit.fits is False


def test_a_cpu_needs_memory_of_the_host_and_no_device(tmp_path: Path) -> None:
    model = KnownModel(hub="EleutherAI/pythia-1.4b")
    said = forecast(tmp_path, model, device="cpu", loss=SFT())
    assert said.fit is None
    # 16 bytes per weight, and the activations of 4096 tokens in float32.
    assert said.size["memory"].endswith("of 1 processes, with micro-batches of 4,096 tokens")
    assert float(said.size["memory"].split()[0]) > 22.6


def test_whole_gradients_count_on_a_cpu_whose_memory_is_unknown_and_the_plan_says_so(
    tmp_path: Path,
) -> None:
    model = KnownModel(hub="EleutherAI/pythia-1.4b")
    options: dict[str, Any] = {"device": "cpu", "loss": SFT(), "processes": 2, "batch_size": 8}
    spread = forecast(tmp_path, model, **options, sharding="full", micro_batch_tokens=2048)
    assert spread.size["memory"].endswith(
        "; assumed: gradients are exchanged once per step: whole ones take 5.7 GB"
    )
    assert "assumed" not in forecast(tmp_path, model, **options, sharding="none").size["memory"]


def test_a_model_that_is_unknown_is_told_so(tmp_path: Path) -> None:
    said = Train(data="d", loss=SFT()).forecast(Known(cache=tmp_path))
    assert said.size["memory"] == "unknown: the model is not here yet"
    assert said.fit is None
