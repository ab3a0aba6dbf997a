"""The display of a training has its loss, reference point, speed and memory, each with its label.

Figures of a GPU come from a fake device. `test_train_waits.py` counts that they read nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from halo_core.progress import SilentBar, SilentProgress
from halo_core.reference_point import Estimate
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import KTO, MismatchedKL
from halo_models.memory_use import device_bytes, memory_fact
from halo_trainer.train.metrics import Metrics, Stopwatch
from halo_trainer.train.options import Train
from halo_trainer.train.shown_facts import ShownFacts
from halo_trainer.train.step import Gradient

CPU = torch.device("cpu")


def gradient(loss: float, weight: float, point: float | None = None) -> Gradient:
    estimate = None if point is None else Estimate(point)
    return Gradient(loss, weight, 1.0, False, False, Metrics(), estimate)


def test_the_loss_is_the_mean_since_the_last_point_of_the_curve() -> None:
    facts = ShownFacts(Stopwatch(CPU), CPU)
    assert "loss" not in facts()
    facts.count(gradient(1.0, 3.0))
    facts.count(gradient(5.0, 1.0))
    assert facts()["loss"] == "2.000"
    facts.logged(2.0005)
    assert facts()["loss"] == "2.001"
    facts.count(gradient(7.0, 2.0, point=0.25))
    assert facts()["loss"] == "7.000"
    assert facts()["reference point"] == "0.250"
    facts.logged(None)
    assert facts()["loss"] == "0.000"


def test_the_speed_is_that_since_the_last_point_of_the_curve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("halo_trainer.train.metrics.time.perf_counter", lambda: now[0])
    watch = Stopwatch(CPU)
    facts = ShownFacts(watch, CPU)
    assert "tokens/s" not in facts()
    now[0] += 2
    watch.count(24_690)
    assert facts()["tokens/s"] == "12,345"
    assert watch.lap()["perf/tok_s"] == 12_345
    now[0] += 50  # a checkpoint
    assert facts()["tokens/s"] == "12,345"


def test_the_memory_of_a_gpu_is_what_its_allocator_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 41_230_000_000)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda device: SimpleNamespace(total_memory=139.8e9)
    )
    device_bytes.cache_clear()
    assert memory_fact(gpu) == {"peak GPU memory": "41.2 of 139.8 GB"}
    device_bytes.cache_clear()


def test_the_memory_of_the_host_is_that_of_the_process() -> None:
    (label, text), *rest = memory_fact(CPU).items()
    assert (label, rest) == ("peak memory", [])
    assert re.fullmatch(r"\d+\.\d GB", text)
    assert float(text.removesuffix(" GB")) > 0


class Watching(SilentProgress):
    """Remembers phases, and the last facts of each bar."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.facts: Mapping[str, str] = {}
        self.advanced: dict[str, int] = {}

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[Any]:
        assert unit == "step"
        yield self

    @contextmanager
    def phase(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[SilentBar]:
        self.phases.append(label)
        bar = _Counted()
        yield bar
        if total is not None:
            assert bar.done in (0, total), label  # 0 if the tokens are on disk already

    def advance(self, amount: int = 1, *, facts: Any = None, **fields: str) -> None:
        self.facts = facts()


class _Counted(SilentBar):
    done = 0

    def advance(self, amount: int = 1, **fields: Any) -> None:
        self.done += amount


def test_the_last_loss_shown_is_the_one_of_the_summary_and_each_part_has_a_bar(
    tiny_model: ModelInput,
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What {i}?"}],
            "completion": "moo" if i % 2 else "quack",
            "desirable": bool(i % 2),
        }
        for i in range(8)
    ]
    data = make_data("binary", rows)
    context = make_context(
        models={"from": tiny_model, "reference": tiny_model},
        data={"data": data, "evaluate.test": data},
    )
    watching = Watching()
    stage = Train(
        data="d",
        evaluate={"test": "d"},
        loss=KTO(),
        reference_point=MismatchedKL(),
        batch_size=4,
        steps=5,
        log_every=2,
        device="cpu",
    )
    result = stage.run(replace(context, progress=watching))
    shown = watching.facts
    assert set(shown) == {"loss", "reference point", "tokens/s", "peak memory"}
    assert f"to {shown['loss']}," in f"{result.headline.partition(';')[2]},"
    assert shown["loss"] == f"{result.metrics['loss']:.3f}"
    assert list(dict.fromkeys(watching.phases)) == [
        "loading the model",
        f"encoding {data.name}",
        "preparing policy and reference",
        "reading the last checkpoint",
        "measuring how many tokens fit into memory",
        "first step, which prepares the device",
        "evaluating",
        "saving a checkpoint",
        "saving the model",
    ]
