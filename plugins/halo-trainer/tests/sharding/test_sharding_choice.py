"""The meaning of the option `sharding`, and the reason that the log gives."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from halo_core.errors import ModelError, UserError
from halo_methods.components import KTO
from halo_trainer.model.scorer import Scorer
from halo_trainer.sharding.choice import accumulates, choose
from halo_trainer.sharding.shard import blocks_of, gathered_bytes, shard
from halo_trainer.train import sharding_choice
from halo_trainer.train.options import Train
from halo_trainer.train.sharding_choice import choose_sharding

GB = 10**9


def test_auto_spreads_what_does_not_fit_on_a_device() -> None:
    choice = choose("auto", processes=8, needed=65 * GB, device=80 * GB)
    assert choice.full
    assert choice.reason == (
        "sharding: full, because 65.0 GB do not fit into 80 % of a device with 80.0 GB"
    )


def test_auto_spreads_nothing_that_fits() -> None:
    choice = choose("auto", processes=8, needed=63 * GB, device=80 * GB)
    assert not choice.full
    assert choice.reason == (
        "sharding: none, because 63.0 GB fit into 80 % of a device with 80.0 GB"
    )


def test_auto_spreads_nothing_on_a_cpu_and_says_so() -> None:
    choice = choose("auto", processes=2, needed=10**15, device=None)
    assert not choice.full
    assert "processes on a CPU share its memory" in choice.reason


def test_auto_spreads_nothing_that_sharding_refuses() -> None:
    given: dict[str, Any] = {"processes": 8, "needed": 65 * GB, "device": 80 * GB}
    choice = choose("auto", **given, refused="reference_store")
    assert not choice.full
    assert choice.reason == (
        "sharding: none, because full does not allow reference_store; "
        "65.0 GB do not fit into 80 % of a device with 80.0 GB"
    )
    assert choose("full", **given, refused="reference_store").full


def test_a_store_of_the_reference_keeps_auto_from_spreading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharding_choice, "_needed_bytes", lambda *_: 65 * GB)
    monkeypatch.setattr(sharding_choice, "device_bytes", lambda device: 80 * GB)
    context: Any = SimpleNamespace(note=lambda text: None)
    ranks: Any = SimpleNamespace(world=8, device=torch.device("cuda"), gather=lambda value: [value])
    for store, full in (("on", False), ("off", True)):
        stage = Train(data="d", loss=KTO(), reference_store=store)
        assert choose_sharding(stage.recipe(), context, ranks).full == full


def test_what_is_in_use_on_a_gpu_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = {
        "mem_get_info": lambda device: (1000, 2000),
        "memory_reserved": lambda device: 700,
        "memory_allocated": lambda device: 600,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    ranks: Any = SimpleNamespace(device=torch.device("cuda", 0))
    assert sharding_choice.free_bytes(ranks) == 1100


def test_an_option_decides_and_the_log_says_so() -> None:
    for option in ("none", "full"):
        choice = choose(option, processes=2, needed=0, device=None)
        assert (choice.full, choice.reason) == (option == "full", f"sharding: {option}, as asked")


def test_one_process_spreads_nothing_and_says_so_only_if_asked() -> None:
    assert choose("auto", processes=1, needed=0, device=None).reason == ""
    asked = choose("full", processes=1, needed=0, device=None)
    assert not asked.full
    assert "there is one process; set processes" in asked.reason


def test_whole_gradients_add_up_if_they_take_a_quarter_of_the_free_memory() -> None:
    assert accumulates(gradients=10 * GB, free=40 * GB).full
    choice = accumulates(gradients=11 * GB, free=40 * GB)
    assert not choice.full
    assert choice.reason == (
        "gradients are exchanged in every micro-batch: whole ones take 11.0 GB of 40.0 GB that are "
        "free"
    )


def two_processes() -> Any:
    return SimpleNamespace(world=2, device=torch.device("cpu"))


def test_a_store_of_the_reference_is_refused_with_shards_and_the_log_has_the_choice() -> None:
    notes: list[str] = []
    context: Any = SimpleNamespace(note=notes.append)
    stage = Train(data="d", loss=KTO(), reference_store="on", sharding="full")
    with pytest.raises(UserError, match="leave reference_store out, or set sharding: none"):
        choose_sharding(stage.recipe(), context, two_processes())
    assert notes == ["sharding: full, as asked"]


def test_a_package_without_what_sharding_needs_is_refused_also_if_the_memory_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers.distributed", None)
    monkeypatch.delitem(sys.modules, "transformers.distributed.sharding_utils", raising=False)
    monkeypatch.setattr(sharding_choice, "_needed_bytes", lambda *_: 100 * GB)
    monkeypatch.setattr(sharding_choice, "device_bytes", lambda _: 80 * GB)
    stage = Train(data="d", loss=KTO(), sharding="auto")
    ranks: Any = SimpleNamespace(world=2, device=torch.device("cuda"), gather=lambda found: [found])
    context: Any = SimpleNamespace(note=lambda _: None)
    with pytest.raises(UserError, match=r"transformers \S+ lacks distributed.sharding_utils;"):
        choose_sharding(stage.recipe(), context, ranks)


def test_a_weight_that_is_a_single_number_is_refused() -> None:
    model = torch.nn.Linear(2, 2)
    model.factor = torch.nn.Parameter(torch.tensor(1.0))
    scorer = Scorer(model, route="padded", compute_dtype=torch.float32)
    with pytest.raises(ModelError, match=r"'model.factor' is a single number"):
        shard(scorer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_weights_of_a_pass_are_those_that_a_plan_counts(
    tiny_model: Any, dtype: torch.dtype
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model.path)
    scorer = Scorer(model, route="packed", compute_dtype=dtype)
    block = sum(weight.numel() for weight in blocks_of(model)[0].parameters())
    root = sum(weight.numel() for weight in model.parameters()) - len(blocks_of(model)) * block
    each = 4 if dtype == torch.float32 else 2
    assert gathered_bytes(scorer) == each * (root + 3 * block) + (each + 4) * block
    model.requires_grad_(False)
    assert gathered_bytes(scorer) == each * (root + 3 * block)  # No gradient is exchanged.
