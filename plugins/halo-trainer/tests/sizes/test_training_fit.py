"""Whether a training fits on the devices of a plan, how long it takes, and what to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from halo_core.devices import Devices, parse_devices
from halo_trainer.sizes.architecture import Architecture, architecture_of
from halo_trainer.sizes.published import published
from halo_trainer.sizes.speed import passes, token_operations
from halo_trainer.sizes.training import (
    NO_EXCHANGE,
    TrainingSize,
    changes,
    lora_weights,
    place,
    step_seconds,
    training_fit,
    up,
)

EIGHT = parse_devices("8x80GB")


def model(hub: str) -> Architecture:
    shape = architecture_of(published(hub) or {})
    assert shape is not None
    return shape


def size(hub: str = "huggyllama/llama-7b", **options: Any) -> TrainingSize:
    chosen: dict[str, Any] = {
        "model": model(hub),
        "optimizer": "RMSprop",
        "reference": True,
        "refreshed": False,
        "stored": False,
        "reference_point": True,
        "adapters": None,
        "checkpointing": False,
        "precision": "bfloat16",
        "processes": 8,
        "machines": 1,
        "sharding": "full",
        "row": "auto",
        "batch_size": 32,
        "completions": 1,
        "longest": 2048,
        "steps": 1000,
    }
    return TrainingSize(**{**chosen, **options})


def test_the_largest_model_of_the_report_fits_because_whole_gradients_do_not_add_up() -> None:
    large = size("huggyllama/llama-30b", checkpointing=True, row=8192)
    fit = training_fit(large, EIGHT)
    assert fit.fits
    assert fit.gigabytes <= 72
    assert not any("exchanged" in text for text in fit.assumed)
    several = training_fit(replace(large, row=4096), EIGHT)
    assert several.fits
    assert "unsharded gradients" not in several.parts
    assert several.assumed[-1] == (
        "gradients are exchanged in every micro-batch: whole ones take 130.1 GB of 55.5 GB that "
        "are free"
    )


def test_whole_gradients_of_a_small_model_add_up_and_the_plan_says_so() -> None:
    fit = training_fit(size("eleutherai/pythia-2.8b", row=2048), EIGHT)
    assert fit.parts["unsharded gradients"] == 11.2
    assert fit.assumed[-1].startswith("gradients are exchanged once per step: whole ones take 11.1")


def test_a_step_of_one_micro_batch_is_advised_where_it_takes_less_memory() -> None:
    several = size("huggyllama/llama-30b", checkpointing=True, row=4096, optimizer="AdamW")
    advised = {change.options: change for change in training_fit(several, EIGHT).changes}
    one = training_fit(replace(several, row=8192), EIGHT)
    assert advised["micro_batch_tokens: 8192"].gigabytes == one.gigabytes


def test_a_change_gives_what_the_plan_of_the_changed_options_says() -> None:
    alone = size(processes=1, sharding="auto")
    fit = training_fit(alone, EIGHT)
    assert fit.fits is False
    found = {change.options: change for change in fit.changes}
    spread = training_fit(replace(alone, processes=8, sharding="full"), EIGHT)
    change = found["processes: 8, sharding: full"]
    assert (change.gigabytes, change.fits) == (spread.gigabytes, spread.fits)


def test_a_training_that_fits_is_told_nothing_to_change() -> None:
    fit = training_fit(size(checkpointing=True), EIGHT)
    assert (fit.fits, list(fit.changes)) == (True, [])


def test_every_change_makes_it_smaller() -> None:
    large = size("huggyllama/llama-30b")
    before = place(large, EIGHT).gigabytes
    found = changes(large, EIGHT)
    assert found
    assert all(change.gigabytes < before for change in found)


def test_more_processes_than_devices_do_not_fit_whatever_their_memory_is() -> None:
    fit = training_fit(size(processes=16, checkpointing=True), EIGHT)
    assert (fit.fits, fit.used) == (False, 8)
    assert fit.problem == "16 processes need as many devices"
    advised = {change.options: change.fits for change in fit.changes}
    assert advised["processes: 8"]


def test_more_machines_are_advised_up_to_one_example_each() -> None:
    small = parse_devices("2x24GB")
    (last,) = [c for c in changes(size(processes=2), small) if "machines" in c.options]
    assert last.options == (
        "machines: 4, processes: 2, sharding: full, gradient_checkpointing: true"
    )
    assert last.fits
    one = size("huggyllama/llama-30b", processes=2, batch_size=2)
    assert not [c for c in changes(one, small) if "machines" in c.options]


def test_auto_shards_only_what_does_not_fit_whole() -> None:
    small = place(size("eleutherai/pythia-1.4b", sharding="auto"), EIGHT)
    large = place(size("eleutherai/pythia-12b", sharding="auto"), EIGHT)
    assert (small.setting.sharded, large.setting.sharded) == (False, True)


def test_a_training_with_a_stored_reference_is_never_sharded_nor_advised_to_be() -> None:
    small = parse_devices("2x24GB")
    given = size("huggyllama/llama-30b", sharding="auto", processes=2, stored=True)
    assert not place(given, small).setting.sharded
    found = changes(given, small)
    assert found
    assert not [change for change in found if "sharding: full" in change.options]


def test_auto_takes_the_largest_micro_batch_that_fits() -> None:
    roomy = place(size(processes=1, sharding="none"), Devices(1, 500.0)).setting.row
    tight = place(size(processes=1, sharding="none"), Devices(1, 160.0)).setting.row
    assert roomy > tight >= 2048


def test_a_micro_batch_holds_at_least_one_example_and_at_most_a_step() -> None:
    assert place(size(row=1, completions=2), EIGHT).setting.row == 4096
    assert place(size(row=10**6), EIGHT).setting.row == 4 * 2048


def test_the_time_is_the_operations_over_the_assumed_speed() -> None:
    shape = model("huggyllama/llama-7b")
    tokens = 32 * 512
    forward = 2 * shape.weights + 2 * 32 * 4096 * 512
    assert token_operations(shape.weights, shape) == forward
    expected = tokens * forward * 6 / (8 * 0.4 * 312e12)
    assert step_seconds(size(), EIGHT) == pytest.approx(expected)
    fit = training_fit(size(checkpointing=True), EIGHT)
    assert fit.hours == pytest.approx(1000 * expected * 7 / 6 / 3600)
    assert fit.tokens_per_second == pytest.approx(tokens / (expected * 7 / 6))


def test_a_faster_device_takes_less_time_and_an_idle_process_saves_none() -> None:
    assert step_seconds(size(), parse_devices("8xH100")) < step_seconds(size(), EIGHT)
    few = size(batch_size=4)
    assert step_seconds(few, EIGHT) == step_seconds(replace(few, processes=4), EIGHT)


@pytest.mark.parametrize(
    ("options", "expected"),
    [((False, False, False), 3), ((True, True, False), 6), ((True, False, True), 5)],
)
def test_passes_are_counted(options: tuple[bool, bool, bool], expected: int) -> None:
    reference, point, twice = options
    found = passes(reference=reference, reference_point=point, checkpointing=twice)
    assert found == expected


def test_nothing_is_rounded_down() -> None:
    assert [up(71.91), up(72.0), up(0.01)] == [72.0, 72.0, 0.1]


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_low_rank_factors_are_counted_as_peft_makes_them(kind: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig

    from halo_models.skeleton import skeleton

    config = AutoConfig.for_model(
        kind,
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    made = get_peft_model(
        skeleton(config), LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    factors = sum(weight.numel() for weight in made.parameters() if weight.requires_grad)
    shape = architecture_of(config.to_dict())
    assert shape is not None
    assert lora_weights(shape, 3) == factors


def test_a_plan_says_that_it_counts_no_time_for_the_exchange_of_several_devices() -> None:
    assert NO_EXCHANGE in training_fit(size(), EIGHT).assumed
    assert NO_EXCHANGE not in training_fit(size(processes=1, sharding="none"), EIGHT).assumed
