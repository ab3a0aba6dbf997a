"""Trainings whose reference comes from a store: the same bits whatever the store held before."""

from __future__ import annotations

import random
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from halo_core.events import EventLog, read_events
from halo_core.loss import Loss
from halo_core.stage import ModelInput, StageContext
from halo_core.testing import data_set
from halo_methods.components import DPO, EMA, KTO, SFT, MismatchedKL, Zero
from halo_trainer.reference_store import store as stores
from halo_trainer.reference_store.segment import Segment
from halo_trainer.reference_store.store import segment_paths
from halo_trainer.train import setup
from halo_trainer.train.options import Train

WORDS = "the cow says moo duck quack ant six legs coal black green grass".split()
PROMPTS = 6
"""With two completions each, in the binary rows."""
ROUNDING = 2e-5
"""Largest difference between weights after training with a live and with a stored reference."""


def make_rows(feedback: str) -> list[dict[str, Any]]:
    rng = random.Random(5)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))

    prompts = [[{"role": "user", "content": f"{text()} {i}?"}] for i in range(PROMPTS)]
    if feedback == "paired":
        return [{"prompt": p, "chosen": text(), "rejected": text()} for p in prompts]
    return [
        {"prompt": p, "completion": text(), "desirable": good}
        for p in prompts
        for good in (True, False)
    ]


@dataclass
class Trainings:
    """Runs trainings that share one cache, and counts the references that are loaded."""

    root: Path
    model: ModelInput
    loads: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def stores(self) -> list[Path]:
        return [path for path in (self.root / "cache/reference").iterdir() if path.is_dir()]

    @property
    def segments(self) -> list[Path]:
        return [path for store in self.stores for path in segment_paths(store)]

    def run(self, name: str, loss: Loss, **options: Any) -> dict[str, torch.Tensor]:
        """Returns the weights after a training."""
        folder = self.root / name
        folder.mkdir()
        rows = data_set(self.root / "rows", loss.feedback, make_rows(loss.feedback))
        context = StageContext.for_folder(
            folder,
            seed=1,
            models={"from": self.model, "reference": self.model},
            data={"data": rows, "evaluate.test": rows},
            cache=self.root / "cache",
            events=EventLog(folder / "events.jsonl"),
            warn=self.warnings.append,
        )
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        given = {"reference_store": "on", "batch_size": 4, "epochs": 2, "log_every": 1}
        given |= {"learning_rate": 1e-2, "device": "cpu"}
        stage = Train(
            data="d",
            evaluate={"test": "d"},
            loss=loss,
            **given | options,
        )
        assert not stage.mistakes()
        stage.run(context)
        return load_file(folder / "model/model.safetensors")


@pytest.fixture
def trainings(tmp_path: Path, tiny_model: ModelInput, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    (tmp_path / "rows").mkdir()
    made = Trainings(tmp_path, tiny_model)
    load = setup.load_reference

    def counted(*args: Any, **options: Any) -> Any:
        made.loads += 1
        return load(*args, **options)

    monkeypatch.setattr(setup, "load_reference", counted)
    return made


@dataclass(frozen=True)
class First:
    """The weights and the cache of a training with DPO that began with an empty store."""

    weights: dict[str, torch.Tensor]
    cache: Path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelInput) -> First:
    root = tmp_path_factory.mktemp("first")
    (root / "rows").mkdir()
    return First(Trainings(root, tiny_model).run("first", DPO()), root / "cache")


@pytest.fixture
def filled(trainings: Trainings, first: First) -> Trainings:
    """Trainings whose cache holds what `first` wrote."""
    shutil.copytree(first.cache, trainings.root / "cache")
    return trainings


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("loss", [DPO(), KTO()], ids=["dpo", "kto"])
def test_a_stored_reference_gives_the_live_one_up_to_rounding(
    loss: Loss, trainings: Trainings
) -> None:
    live = trainings.run("live", loss, reference_store="off")
    assert not (trainings.root / "cache/reference").exists()
    stored = trainings.run("stored", loss)
    assert trainings.segments
    for name, weight in live.items():
        assert (weight - stored[name]).abs().max() < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("pairing", ["batch", "fixed"])
def test_cold_warm_cut_and_shared_stores_give_the_same_bits(
    pairing: str, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every value is a segment, so that any part of them can be missing.
    monkeypatch.setattr(stores, "BUFFER_BYTES", 1)
    loss, point = KTO(), MismatchedKL(pairing=pairing)
    cold = trainings.run("cold", loss, reference_point=point)
    assert trainings.loads == 1
    assert same(cold, trainings.run("warm", loss, reference_point=point))
    assert trainings.loads == 1
    for number, path in enumerate(trainings.segments):
        if number % 3:
            path.unlink()  # as if the writer had been killed before it wrote them
    assert same(cold, trainings.run("cut", loss, reference_point=point))
    assert trainings.loads == 2
    shutil.rmtree(trainings.root / "cache/reference")
    # Another training, with other batches and micro-batches, has filled a part of the store.
    trainings.run("other", DPO(), batch_size=2, micro_batch_tokens=20, learning_rate=1e-3)
    trainings.run("another", loss, batch_size=3, steps=2, epochs=None)
    assert same(cold, trainings.run("shared", loss, reference_point=point))
    assert trainings.warnings == []


KILLED = """\
import os, pathlib, runpy, signal, sys
from halo_core.stage import ModelInput
from halo_methods.components import DPO
from halo_trainer.reference_store import segment, store
import torch

file, root, model = sys.argv[1:]
torch.set_num_threads(1)
store.BUFFER_BYTES = 1
put_in_place, written = segment.put_in_place, []

def killed(beside, path):
    if len(written) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    put_in_place(beside, path)

segment.put_in_place = killed
trainings = runpy.run_path(file)["Trainings"](pathlib.Path(root), ModelInput(model, None, "m"))
trainings.run("killed", DPO())
"""


@pytest.mark.slow
def test_a_store_of_a_killed_training_gives_the_same_bits(
    warm: Any, first: First, trainings: Trainings
) -> None:
    arguments = [__file__, str(trainings.root), trainings.model.path]
    done = warm.run([sys.executable, "-c", KILLED, *arguments], timeout=120)
    assert done.returncode == -9
    assert len(trainings.segments) == 5
    assert same(first.weights, trainings.run("after", DPO()))
    misses = sum(curve(trainings.root / "after", "reference/store_misses"))
    assert misses == 2 * PROMPTS - 5
    assert trainings.warnings == []


def test_the_reference_is_computed_alone_whatever_the_micro_batch(
    first: First, trainings: Trainings
) -> None:
    trainings.run("other", DPO(), micro_batch_tokens=20, batch_size=3, epochs=1)
    assert contents(trainings.root / "cache") == contents(first.cache)


def contents(cache: Path) -> dict[bytes, bytes]:
    (store,) = (path for path in (cache / "reference").iterdir() if path.is_dir())
    segments = [Segment(path) for path in segment_paths(store)]
    assert segments
    return {
        segment.keys[row].tobytes(): segment.read(row).tobytes()
        for segment in segments
        for row in range(len(segment))
    }


def test_fixed_pairs_are_found_in_the_second_epoch(trainings: Trainings) -> None:
    trainings.run("fixed", KTO(), reference_point=MismatchedKL(pairing="fixed"))
    curves = curve(trainings.root / "fixed", "reference/store_misses")
    steps = len(curves) // 2
    assert all(curves[:steps])
    assert not any(curves[steps:])


def curve(folder: Path, name: str) -> list[float]:
    events = [event for event, _ in read_events(folder / "events.jsonl")]
    return [e["metrics"][name] for e in events if name in e.get("metrics", {})]


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 1e-3},
        {"epochs": 3},
        {"log_every": 3},
        {"loss": DPO(beta=0.5)},
        {"optimizer": "SGD", "warmup_steps": 1, "schedule": "cosine"},
        {"gradient_checkpointing": True, "micro_batch_tokens": 30},
        {"max_length": 60, "max_prompt_length": 40},
        {"lora": {"rank": 2}},
    ],
    ids=lambda options: ",".join(options),
)
def test_what_a_training_does_with_the_values_does_not_matter(
    options: dict[str, Any], filled: Trainings
) -> None:
    before = [path.name for path in filled.segments]
    filled.run("second", options.pop("loss", DPO()), **options)
    assert len(filled.stores) == 1
    assert filled.loads == 0
    assert [path.name for path in filled.segments] == before


def test_a_damaged_store_warns_and_changes_no_bit(first: First, filled: Trainings) -> None:
    (path,) = filled.segments
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert same(first.weights, filled.run("damaged", DPO()))
    assert len(filled.warnings) == 1
    assert "is damaged" in filled.warnings[0]
    assert filled.loads == 1
    assert same(first.weights, filled.run("mended", DPO()))
    assert (filled.loads, len(filled.warnings)) == (1, 1)


@pytest.mark.parametrize("content", ["", "{", "null", '{"schema": 1}'])
def test_a_damaged_record_of_a_store_is_written_again(
    content: str, first: First, filled: Trainings
) -> None:
    (store,) = filled.stores
    record = (store / "store.json").read_text()
    (store / "store.json").write_text(content)
    assert same(first.weights, filled.run("again", DPO()))
    assert filled.loads == 1
    assert len(filled.segments) == 1
    assert "The reference is loaded" in filled.warnings[0]
    assert (store / "store.json").read_text() == record


def test_a_full_disk_changes_no_bit(
    first: First, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores, "write_segment", full)
    monkeypatch.setattr(stores, "BUFFER_BYTES", 1)
    assert same(first.weights, trainings.run("full", DPO()))
    assert len(trainings.warnings) == 1
    assert "nothing more is written" in trainings.warnings[0]
    assert trainings.segments == []


def test_a_reference_that_is_loaded_within_a_step_changes_no_dropout(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = setup.load_reference

    def drawing(*args: Any, **options: Any) -> Any:
        torch.rand(1)  # As for new tokens, whose rows transformers draws.
        return load(*args, **options)

    monkeypatch.setattr(setup, "load_reference", drawing)
    trainings.run("own", KTO(), reference_point=Zero(), dropout=0.3)
    within = trainings.run("within", KTO(), dropout=0.3)
    assert trainings.loads == 2
    assert same(within, trainings.run("warm", KTO(), dropout=0.3))
    assert trainings.loads == 2


def test_a_training_logs_hits_misses_and_size(trainings: Trainings) -> None:
    trainings.run("run", DPO(), batch_size=PROMPTS)
    folder = trainings.root / "run"
    assert curve(folder, "reference/store_misses") == [2 * PROMPTS, 0]
    assert curve(folder, "reference/store_hits") == [0, 2 * PROMPTS]
    assert curve(folder, "reference/store_mb")[-1] > 0


def test_evaluation_reads_and_fills_the_store(trainings: Trainings) -> None:
    trainings.run("short", DPO(), steps=1, epochs=None)
    trainings.run("long", DPO())
    assert sum(curve(trainings.root / "long", "reference/store_misses")) == 0
    assert trainings.loads == 1


def test_another_precision_has_another_store_with_bits_of_its_own(trainings: Trainings) -> None:
    trainings.run("float32", DPO(), precision="float32")
    cold = trainings.run("cold", DPO(), precision="bfloat16")
    assert (len(trainings.stores), trainings.loads) == (2, 2)
    assert same(cold, trainings.run("warm", DPO(), precision="bfloat16"))
    assert (len(trainings.stores), trainings.loads) == (2, 2)


def test_another_reference_has_another_store(filled: Trainings, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(filled.model.path, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    filled.model = ModelInput(str(folder), None, "other")
    filled.run("second", DPO())
    assert (len(filled.stores), filled.loads) == (2, 1)
    # A copy in another folder is the same reference.
    shutil.copytree(folder, tmp_path / "copy")
    filled.model = ModelInput(str(tmp_path / "copy"), None, "copy")
    filled.run("third", DPO())
    assert (len(filled.stores), filled.loads) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": SFT()}, "the loss uses no reference model; leave it out"),
        ({"loss": DPO(), "reference_update": EMA(decay=0.9)}, "reference_update changes the"),
    ],
)
def test_a_store_that_could_have_no_effect_is_refused(
    options: dict[str, Any], message: str
) -> None:
    mistakes = Train(data="d", reference_store="on", **options).mistakes()
    assert [place for place, _ in mistakes] == ["reference_store"]
    assert message in mistakes[0][1]
