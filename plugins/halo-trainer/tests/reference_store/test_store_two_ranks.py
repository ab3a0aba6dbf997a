"""Two processes that read and write one store."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.events import read_events
from halo_core.stage import ModelInput
from halo_core.testing import data_set
from halo_trainer.reference_store import store as stores

pytestmark = pytest.mark.slow(seconds=5)
WORKER = Path(__file__).parent / "store_two_ranks.py"
NAMES = ("cold", "warm", "some", "own", "damaged")


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("store_two_ranks", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def damage(root: Path, worker: ModuleType) -> None:
    """Fills a store with one segment for each completion, and changes a value in each of them.

    The index of a segment does not show it. So only the rank that reads the completion notices.
    """
    options = {"batch_size": 4, "epochs": 1}
    before, stores.BUFFER_BYTES = stores.BUFFER_BYTES, 1
    worker.train(root, "damaged-before", "cache-damaged", worker.MATCHED, **options)
    stores.BUFFER_BYTES = before
    paths = sorted((root / "cache-damaged").glob("reference/*/*.safetensors"))
    for path in paths:
        whole = bytearray(path.read_bytes())
        size = int.from_bytes(whole[:8], "little")
        begin, _ = json.loads(whole[8 : 8 + size])["logps"]["data_offsets"]
        whole[8 + size + begin] ^= 1
        path.unlink()
        path.write_bytes(whole)
    (root / "damaged-segments.txt").write_text("\n".join(map(str, paths)))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: ModelInput,
    run_on_two_ranks: Callable[[Path, Path], None],
) -> Path:
    """The folder in which one process has filled stores, and two ranks have then trained."""
    root = tmp_path_factory.mktemp("two-ranks")
    (root / "model").symlink_to(tiny_model.path)
    rows: list[dict[str, Any]] = [
        {
            "prompt": [{"role": "user", "content": f"What {i}?"}],
            "completion": " ".join(["moo"] * (1 + i * 5 % 7)),
            "desirable": i % 3 != 0,
        }
        for i in range(12)
    ]
    (file,) = data_set(root, "binary", rows).files
    file.rename(root / "train-binary.arrow")
    worker = load_worker()
    worker.train(
        root, "some-before", "cache-some", worker.MISMATCHED, batch_size=3, steps=1, epochs=None
    )
    worker.train(root, "own-before", "cache-own", worker.MATCHED, batch_size=4, epochs=1)
    damage(root, worker)
    run_on_two_ranks(WORKER, root)
    return root


def sums(folder: Path, name: str) -> float:
    events = [event for event, _ in read_events(folder / "events.jsonl")]
    return sum(event["metrics"][name] for event in events if event["type"] == "metrics")


def test_two_ranks_give_the_same_bits_whatever_the_store_held(finished: Path) -> None:
    weights = [load_file(finished / name / "model/model.safetensors") for name in NAMES]
    for others in weights[1:]:
        assert all(torch.equal(weights[0][name], others[name]) for name in others)
    assert [path.parent.name for path in finished.glob("*/warnings-*.txt")] == ["damaged"]


def test_both_ranks_load_the_reference_or_neither(finished: Path) -> None:
    loads = {
        name: [(finished / name / f"loads-{rank}.txt").read_text() for rank in (0, 1)]
        for name in NAMES
    }
    # In "own", only mismatched pairs are missing. Both ranks have some of them.
    expected = [["1", "1"], ["0", "0"], ["1", "1"], ["1", "1"], ["1", "1"]]
    assert loads == dict(zip(NAMES, expected, strict=True))


def test_damage_that_only_one_rank_sees_is_told_once_by_rank_0(finished: Path) -> None:
    (path,) = finished.glob("damaged/warnings-*.txt")
    assert path.name == "warnings-0.txt"
    lines = path.read_text().splitlines()
    damaged = (finished / "damaged-segments.txt").read_text().splitlines()
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(damaged)
    assert not any(Path(name).exists() for name in damaged)


def test_hits_and_misses_are_summed_over_the_ranks(finished: Path) -> None:
    totals = {
        name: sums(finished / name, "reference/store_hits")
        + sums(finished / name, "reference/store_misses")
        for name in NAMES
    }
    assert len(set(totals.values())) == 1
    assert sums(finished / "warm", "reference/store_misses") == 0
    missing = [sums(finished / name, "reference/store_misses") for name in ("cold", "some", "own")]
    assert missing[0] > missing[1] > missing[2] > 0
