"""Whether sampling fits on a device of a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from halo_core.devices import Devices, parse_devices
from halo_core.errors import UserError
from halo_core.stage import Known, KnownModel
from halo_trainer.sample.options import Sample
from halo_trainer.sizes.architecture import architecture_of
from halo_trainer.sizes.published import published
from halo_trainer.sizes.sampling import SamplingSize, pass_seconds, sampling_fit

EIGHT = parse_devices("8x80GB")
SHAPE = architecture_of(published("huggyllama/llama-30b") or {})
assert SHAPE is not None
LARGE = SamplingSize(
    SHAPE, "bfloat16", batch=32, samples=1, prompt=1024, completion=1024, prompts=512, limit=None
)


def test_keys_and_values_of_all_layers_are_counted_for_every_token() -> None:
    # 2 numbers of 2 bytes, 60 layers, 6656 wide.
    assert LARGE.token_cache == 2 * 2 * 60 * 6656
    assert LARGE.tokens == 32 * 2048
    fit = sampling_fit(LARGE, parse_devices("1x300GB"))
    assert fit.fits
    assert (fit.parts["weights"], fit.parts["cache"]) == (65.1, 104.7)


def test_tokens_at_once_are_halved_until_they_fit_as_in_sampling() -> None:
    fit = sampling_fit(LARGE, EIGHT)
    assert fit.fits
    assert fit.assumed[-1] == "tokens_at_once: 2048 (a whole batch does not fit)"
    asked = sampling_fit(replace(LARGE, limit=2048), EIGHT)
    assert (asked.gigabytes, asked.hours) == (fit.gigabytes, fit.hours)
    assert asked.assumed[-1] == "tokens_at_once: 2048"


def test_one_prompt_with_all_its_completions_is_the_least() -> None:
    several = replace(LARGE, samples=8, limit=1)
    assert several.tokens == several.one == 8 * 2048
    (first, *_) = sampling_fit(several, EIGHT).changes
    assert first.options == "samples_per_prompt: 1 (fewer samples)"
    assert first.fits
    assert first.gigabytes == sampling_fit(replace(LARGE, limit=1), EIGHT).gigabytes


def test_where_no_option_helps_only_more_memory_does() -> None:
    *_, last = sampling_fit(LARGE, Devices(8, 40.0)).changes
    assert last.options == "devices with more memory: the weights alone take 65.1 GB in bfloat16"
    assert not last.fits


def test_several_processes_share_the_batches_and_need_a_device_each() -> None:
    small = replace(LARGE, limit=2048)
    one, eight = (sampling_fit(replace(small, processes=n), EIGHT) for n in (1, 8))
    assert (one.used, eight.used) == (1, 8)
    assert eight.gigabytes == one.gigabytes
    assert eight.hours == pytest.approx((one.hours or 0) / 8)
    # 512 prompts in batches of 256 are work for two processes only.
    two = sampling_fit(replace(small, processes=8, batch=256), EIGHT)
    assert two.hours == pytest.approx((one.hours or 0) / 2)
    many = sampling_fit(replace(small, processes=9), EIGHT)
    assert (many.fits, many.problem) == (False, "9 processes need as many devices")
    assert [change.options for change in many.changes if change.fits] == ["processes: 8"]


def test_half_the_precision_is_advised_for_float32() -> None:
    first, *_ = sampling_fit(replace(LARGE, precision="float32"), EIGHT).changes
    assert (first.options, first.fits) == ("precision: bfloat16", True)


def test_a_pass_takes_the_time_to_read_weights_and_keys() -> None:
    read = 2 * 32_528_943_616 + 2 * 2 * 60 * 6656 * 32 * 2048
    assert pass_seconds(LARGE, EIGHT) == pytest.approx(read / (0.4 * 2039e9))


def test_the_stage_knows_its_prompts_lengths_and_model(tmp_path: Path) -> None:
    start = {"from": KnownModel(hub="EleutherAI/pythia-1.4b")}
    known = Known(cache=tmp_path, models=start, rows={"prompts": 64}, devices=EIGHT)
    fit = Sample(prompts="test", n=512).forecast(known).fit
    assert fit is not None
    few = Sample(prompts="test", n=32).forecast(known).fit
    assert few is not None
    assert few.hours == pytest.approx((fit.hours or 0) / 2)
    assert Sample(prompts="test", device="cpu").forecast(known).fit is None
    assert Sample(prompts="test", engine="vllm").forecast(known).fit is None
    with pytest.raises(UserError, match="not fit into the 2048 tokens"):
        Sample(prompts="test", max_new_tokens=2048, max_prompt_length=9).forecast(known)


def test_a_model_that_nobody_knows_is_not_guessed(tmp_path: Path) -> None:
    known = Known(cache=tmp_path, weights=10**9, models={"from": KnownModel(weights=10**9)})
    assert Sample(prompts="test").forecast(known).fit is None
