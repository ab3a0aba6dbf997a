"""Weights are written file by file, and transformers reads them as one model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from halo_models.weight_files import WeightFiles

TENSORS = {name: torch.full((4, 8), float(i)) for i, name in enumerate("abcde")}
BYTES = 4 * 4 * 8


def write(folder: Path, file_bytes: int) -> list[str]:
    files = WeightFiles(folder, file_bytes=file_bytes)
    for name, tensor in TENSORS.items():
        files.add({name: tensor})
    files.close()
    return sorted(path.name for path in folder.iterdir())


def test_weights_that_fit_are_one_file_without_an_index(tmp_path: Path) -> None:
    assert write(tmp_path, 5 * BYTES) == ["model.safetensors"]
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_a_full_file_is_followed_by_another_one_and_an_index_names_them(tmp_path: Path) -> None:
    names = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    assert write(tmp_path, 2 * BYTES) == [*names, "model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 5 * BYTES}
    assert [index["weight_map"][name] for name in "abcde"] == [
        names[0], names[0], names[1], names[1], names[2],
    ]  # fmt: skip
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file)[name], TENSORS[name])


def test_a_tensor_larger_than_a_file_has_its_own(tmp_path: Path) -> None:
    assert len(write(tmp_path, BYTES // 2)) == 6


def test_what_is_added_does_not_change_later(tmp_path: Path) -> None:
    tensor = torch.ones(3)
    files = WeightFiles(tmp_path)
    files.add({"x": tensor})
    tensor.zero_()
    files.close()
    assert load_file(tmp_path / "model.safetensors")["x"].sum() == 3


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = WeightFiles(None)
    files.add(TENSORS)
    files.close()
    assert not list(tmp_path.iterdir())
