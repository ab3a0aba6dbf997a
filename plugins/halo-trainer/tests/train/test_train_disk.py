"""A training on a disk that fills: it stops before it writes, and continues to the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.errors import DiskError
from halo_core.events import read_events
from halo_core.stage import Known, ModelInput, StageContext
from halo_core.workspace.disk import with_margin
from halo_methods.components import SFT
from halo_trainer.sample.options import Sample
from halo_trainer.train.options import Train

Free = Callable[[Path], int]
ROWS = [
    {"prompt": [{"role": "user", "content": f"What {i}?"}], "completion": "moo " * (1 + i % 3)}
    for i in range(6)
]
PLENTY = 10**12


@pytest.fixture
def weights(tiny_model: ModelInput) -> int:
    """Bytes of the model."""
    tensors = load_file(Path(tiny_model.path) / "model.safetensors").values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.fixture
def run(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Trains in a folder of this name with the given free space, and returns the folder."""
    data = {"data": make_data("demonstration", ROWS)}
    stage = Train(
        data="d", loss=SFT(), batch_size=3, steps=5, checkpoint_every=2, log_every=1, device="cpu"
    )

    def train(name: str, free: Free = lambda _: PLENTY) -> Path:
        context = make_context(data=data, models={"from": tiny_model}, name=name)
        with monkeypatch.context() as patched:
            patched.setattr(
                shutil, "disk_usage", lambda _: SimpleNamespace(free=free(context.folder))
            )
            stage.run(context)
        return context.folder

    return train


def model(folder: Path) -> Mapping[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step-*"))


def steps(folder: Path) -> list[int]:
    events = (event for event, _ in read_events(folder / "events.jsonl"))
    return [event["step"] for event in events if event["type"] == "metrics"]


def same(folder: Path, other: Path) -> bool:
    found, expected = model(folder), model(other)
    return all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_first_step_compares_all_that_will_be_written(
    run: Callable[..., Path], tmp_path: Path, weights: int
) -> None:
    # Weights and two moments are three; two checkpoints are there when the third replaces one.
    least = with_margin(2 * 3 * weights + weights)
    with pytest.raises(DiskError, match="there is no room for the model and 2 checkpoints: "):
        run("short", lambda _: least - 100_000)
    assert kept(tmp_path / "short") == []
    assert steps(tmp_path / "short") == []
    run("just", lambda _: least + 100_000)


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one_whole(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    def fills(folder: Path) -> int:
        return 1000 if kept(folder) else PLENTY

    with pytest.raises(
        DiskError, match=r"checkpoints: there is no room for the checkpoint of step"
    ):
        run("cut", fills)
    assert kept(tmp_path / "cut") == ["step-00000002"]
    assert same(run("cut"), run("whole"))


def test_a_finished_training_is_kept_where_the_model_does_not_fit(
    run: Callable[..., Path], tmp_path: Path, weights: int
) -> None:
    def fills(folder: Path) -> int:
        if "step-00000005" in kept(folder):
            return 1000
        # Enough for a checkpoint, and not for the model besides.
        return with_margin(3 * weights + 1000) if steps(folder)[-1:] == [5] else PLENTY

    with pytest.raises(DiskError, match="the training is finished and step 5 is kept: "):
        run("cut", fills)
    assert kept(tmp_path / "cut") == ["step-00000004", "step-00000005"]
    before = steps(tmp_path / "cut")
    folder = run("cut")
    assert steps(folder) == before
    assert same(folder, run("whole"))


def test_no_more_is_kept_where_neither_fits(run: Callable[..., Path], tmp_path: Path) -> None:
    def fills(folder: Path) -> int:
        return 1000 if steps(folder)[-1:] == [5] else PLENTY

    with pytest.raises(DiskError, match="the training is finished and step 4 is kept: "):
        run("cut", fills)
    assert same(run("cut"), run("whole"))


def test_a_plan_counts_checkpoints_and_the_model(tmp_path: Path) -> None:
    model = 4 * 1_000_000

    def forecast(learned: int | None = None, **options: Any) -> tuple[int | None, int | None]:
        known = Known(weights=1_000_000, learned=learned, cache=tmp_path)
        made = Train(data="d", loss=SFT(), **options).forecast(known)
        return made.disk, made.left

    # A checkpoint has the weights and two moments. Two are kept while a third is written.
    assert forecast() == (model * 3 * 3, model)
    # A checkpoint of SGD is as large as the model, which is written in addition to four of them.
    evaluated = {"evaluate": {"test": "t"}, "optimizer": "SGD"}
    assert forecast(**evaluated, keep_last=3) == (model * (4 + 1), model * (1 + 3))
    assert forecast(**evaluated, keep_best=2) == (model * (4 + 1), model * (1 + 2))
    assert forecast(**evaluated, keep_best=0) == (model * (2 + 1), model)
    # Two steps write no checkpoint, 250 write one, and only the minutes may ask for more.
    assert forecast(64) == (model, model)
    assert forecast(250 * 32, keep_last=1) == (model * (3 + 1), model * (3 + 1))
    assert forecast(250 * 32, checkpoint_minutes=5) == (model * 3 * 3, model)


def test_samples_that_do_not_fit_are_not_begun(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = {"prompts": make_data("demonstration", ROWS)}
    context = make_context(data=data, models={"from": tiny_model})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskError, match="there is no room for 6 samples of at least 200 bytes: "):
        Sample(prompts="d", max_new_tokens=4, device="cpu").run(context)
