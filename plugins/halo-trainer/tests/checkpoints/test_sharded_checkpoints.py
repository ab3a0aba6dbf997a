"""Checkpoints of which each process writes a part, and which other numbers of processes read."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from halo_core.errors import DataError, DiskError
from halo_core.workspace.files import begun_folder
from halo_core.workspace.records import CHECKPOINT, SHARDS
from halo_trainer.train.checkpoints.checkpoint import path_of
from halo_trainer.train.checkpoints.pieces import Region
from halo_trainer.train.checkpoints.saved_tensors import SavedTensors
from halo_trainer.train.checkpoints.search import find_whole
from halo_trainer.train.checkpoints.shard_files import (
    Others,
    Part,
    join_parts,
    shard_name,
    write_part,
)
from halo_trainer.train.checkpoints.train_state import TrainState

TENSORS: Mapping[str, Tensor] = {
    "weights/matrix": torch.arange(35.0).reshape(7, 5),
    "weights/few": torch.tensor([1.0, 2.0]),
    "optimizer/matrix/exp_avg": torch.arange(35.0).reshape(7, 5) / 7,
    "optimizer/matrix/step": torch.tensor(3.0),
}
"""Tensors of which some have no row for every process."""


def parts(processes: int) -> list[Part]:
    """The parts of processes that share the rows as evenly as `fully_shard`."""
    made = []
    for rank in range(processes):
        values, saved = {}, {}
        for name, tensor in TENSORS.items():
            rows = -(-len(tensor) // processes) if tensor.ndim else 0
            piece = tensor[rank * rows : (rank + 1) * rows] if tensor.ndim else tensor
            if (tensor.ndim == 0 and rank > 0) or piece.numel() == 0:
                continue
            offset = [rank * rows] + [0] * (tensor.ndim - 1) if tensor.ndim else []
            place = {
                "file": shard_name(rank, processes),
                "offset": offset,
                "shape": list(piece.shape),
            }
            values[name] = piece.clone()
            saved[name] = {"shape": list(tensor.shape), "pieces": [place]}
        made.append(Part(rank, processes, values, saved))  # type: ignore[arg-type]
    return made


def write(folder: Path, processes: int, *, step: int = 5) -> Path:
    path = path_of(folder, step)
    meeting = begun_folder(path)
    for part in parts(processes):
        write_part(meeting, part)
    record = TrainState(step=step, processes=processes).record()
    join_parts(meeting, path, record, texts={}, processes=processes, others=Others())
    return path


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 9])
def test_what_processes_wrote_is_read_as_whole(processes: int, tmp_path: Path) -> None:
    folder = write(tmp_path, processes)
    with SavedTensors(folder) as saved:
        assert list(saved.names("weights")) == ["matrix", "few"]
        for name in ("matrix", "few"):
            found = torch.zeros_like(TENSORS[f"weights/{name}"])
            saved.fill("weights", name, found)
            assert torch.equal(found, TENSORS[f"weights/{name}"])
        for name in saved.names("optimizer"):
            like = saved.like("optimizer", name, torch.zeros(7, 5))
            assert torch.equal(like, TENSORS[f"optimizer/{name}"])
    assert {path.name for path in folder.iterdir()} == {
        "state.json",
        "shards.json",
        *(shard_name(rank, processes) for rank in range(processes)),
    }
    record = CHECKPOINT.read(folder)
    assert record is not None
    assert record["processes"] == processes
    assert len(record["files"]) == processes + 1


def test_every_block_is_read_from_the_pieces_that_have_it(tmp_path: Path) -> None:
    with SavedTensors(write(tmp_path, 3)) as saved:
        whole = TENSORS["weights/matrix"]
        stored = saved._named("weights", "matrix")
        for first in range(8):
            for rows in range(8 - first):
                region, found = Region((first, 1), (rows, 3)), torch.zeros(rows, 3)
                saved._fill("matrix", stored, region, found)
                assert torch.equal(found, whole[first : first + rows, 1:4])


def test_a_tensor_that_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    with SavedTensors(write(tmp_path, 2)) as saved:
        with pytest.raises(DataError, match="expected 'weights/bias' among its tensors"):
            saved.fill("weights", "bias", torch.zeros(1))
        with pytest.raises(DataError, match=r"'weights/few' of shape \(3,\); got \(2,\)"):
            saved.fill("weights", "few", torch.zeros(3))


def test_an_index_without_a_piece_is_not_filled_up(tmp_path: Path) -> None:
    folder = write(tmp_path, 2)
    index = SHARDS.read(folder)
    assert index is not None
    del index["tensors"]["weights/matrix"]["pieces"][1]
    SHARDS.write(folder, index)
    with SavedTensors(folder) as saved, pytest.raises(DataError, match="35 numbers; got 20 of"):
        saved.fill("weights", "matrix", torch.zeros(7, 5))


def test_nothing_is_left_if_a_part_does_not_come(tmp_path: Path) -> None:
    before = write(tmp_path, 2)
    path = path_of(tmp_path, 6)
    for others in (Others(until=0.0), Others()):
        meeting = begun_folder(path)
        write_part(meeting, parts(2)[0])
        others.failed.set()
        with pytest.raises(DiskError, match="rank 1 has not written its part"):
            join_parts(
                *(meeting, path, TrainState(step=6).record()),
                texts={},
                processes=2,
                others=others,
            )
        assert list(tmp_path.iterdir()) == [before]


def test_rank_0_waits_for_a_part_that_comes_late(tmp_path: Path) -> None:
    path = path_of(tmp_path, 5)
    meeting = begun_folder(path)
    first, second = parts(2)
    write_part(meeting, first)
    late = threading.Timer(0.3, write_part, (meeting, second))
    late.start()
    join_parts(
        *(meeting, path, TrainState(step=5).record()), texts={}, processes=2, others=Others()
    )
    late.join()
    assert find_whole(tmp_path, print, with_reference=False, exports_best=False) == {5: None}


@pytest.mark.parametrize("name", ["shard-00001-of-00003.safetensors", "shards.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(
    name: str, harm: str, tmp_path: Path
) -> None:
    write(tmp_path, 3, step=4)
    path = write(tmp_path, 3) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(content if harm == "flip" else content[:-1])
    warnings: list[str] = []
    found = find_whole(tmp_path, warnings.append, with_reference=False, exports_best=False)
    assert found == {4: None}
    assert f"step-00000005/{name} " in warnings[0]
    assert "The training continues from the checkpoint of step 4" in warnings[0]


SCRIPT = Path(__file__).parent / "sharded_steps.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharded_steps", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow(seconds=20)
def test_other_numbers_of_processes_continue_and_a_killed_one_leaves_nothing(
    tmp_path: Path, run_on_ranks: Callable[..., None]
) -> None:
    run_on_ranks(SCRIPT, tmp_path, 4, ["2,4,1,4,2,kill"], code=137)
    # Each checkpoint has the weights of an uninterrupted training, up to rounding.
    steps = load_script()
    for i, processes in enumerate([2, 4, 1, 4, 2]):
        folder = path_of(tmp_path, steps.STEPS * (i + 1))
        record = json.loads((folder / "state.json").read_text())
        assert record["processes"] == processes
        assert (folder / "shards.json").exists() == (processes > 1)
        with SavedTensors(folder) as saved:
            for name, expected in steps.uninterrupted(record["step"]).items():
                found = torch.zeros_like(expected)
                saved.fill("weights", name, found)
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    # Four processes hold 2, 2, 2 and 1 rows of the axis of 7. One holds none of the axis of 3.
    for rank, rows in enumerate([2, 2, 2, 1]):
        with safe_open(path_of(tmp_path, 4) / shard_name(rank, 4), framework="pt") as file:
            assert file.get_slice("weights/0.weight").get_shape() == [rows, 5]
            assert ("weights/3.weight" in file.keys()) == (rank < 3)
    # The killed process had half of its file. Its step does not count, and leaves nothing.
    assert len(list(tmp_path.glob(".step-00000012.*.partial"))) == 1
    whole = find_whole(tmp_path, print, with_reference=False, exports_best=False)
    assert max(whole) == 10
    assert not list(tmp_path.glob(".step-*"))
