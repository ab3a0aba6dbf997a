"""The key of a stored value: each part of it changes the key, and nothing else does."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.testing import make_model
from halo_trainer.model.scorer import Scorer
from halo_trainer.reference_store import model_digest as digests, store_key
from halo_trainer.reference_store.model_digest import HASHES, model_digest
from halo_trainer.reference_store.store_key import (
    digest_of,
    parts_before_loading,
    parts_of_scorer,
)

CPU = torch.device("cpu")
ARGUMENTS: dict[str, Any] = {
    "model": "0123",
    "vocabulary": (60, 62),
    "windows": {"sliding_window": 8},
    "compute_dtype": torch.float32,
    "device": CPU,
}


def key(**changed: Any) -> str:
    return digest_of(parts_before_loading(**ARGUMENTS | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "4567"},
        {"vocabulary": (60, 61)},
        {"vocabulary": (61, 62)},
        {"windows": {}},
        {"windows": {"attention_chunk_size": 8}},
        {"compute_dtype": torch.bfloat16},
    ],
    ids=str,
)
def test_each_part_that_is_known_before_loading_changes_the_key(changed: dict[str, Any]) -> None:
    assert key() == key()
    assert key(**changed) != key()


@pytest.mark.parametrize("package", ["torch", "transformers", "peft"])
def test_the_version_of_each_library_changes_the_key(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = key(), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0" if name == package else version(name)
    )
    assert key() != before


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (torch, "get_num_threads", lambda: 99),
        (torch, "are_deterministic_algorithms_enabled", lambda: True),
        (torch, "get_float32_matmul_precision", lambda: "medium"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "other"),
        (store_key, "_processor", lambda: "other"),
        (store_key, "_code", lambda: "other"),
        (os, "environ", {"MKL_CBWR": "COMPATIBLE"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_machine_its_settings_and_the_code_change_the_key(
    owner: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key()
    monkeypatch.setattr(owner, name, value)
    assert key() != before


def test_the_name_of_the_gpu_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    names = iter(["one", "one", "other"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: next(names))
    first, same, other = (key(device=torch.device("cuda")) for _ in range(3))
    assert first == same != other
    assert first != key()


def scorer(change: Callable[[Any], None] = lambda _: None, **options: Any) -> Scorer:
    model = make_model(60)
    change(model)
    given = {"route": "packed", "compute_dtype": torch.float32, "chunked": True}
    return Scorer(model, **given | options)


def to_half(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        weight = dict(model.named_parameters())[name]
        weight.data = weight.data.bfloat16()

    return change


def quantized(model: Any) -> None:
    model.config.quantization_config = {"bits": 4}


def eager(model: Any) -> None:
    model.set_attn_implementation("eager")


@pytest.mark.parametrize(
    "other",
    [
        scorer(route="padded"),
        scorer(chunked=False),
        scorer(eager),
        scorer(to_half("lm_head.weight")),
        scorer(to_half("model.layers.0.mlp.up_proj.weight")),
        scorer(quantized),
    ],
    ids=["route", "whole head", "attention", "head dtype", "held weights", "quantisation"],
)
def test_each_part_that_is_found_by_loading_changes_the_key(other: Scorer) -> None:
    known = parts_of_scorer(scorer())
    assert known == parts_of_scorer(scorer())
    assert digest_of({}, known) != digest_of({}, parts_of_scorer(other))


def test_the_same_number_of_weights_held_elsewhere_changes_the_key() -> None:
    one, other = (
        parts_of_scorer(scorer(to_half(f"model.layers.{layer}.mlp.up_proj.weight")))
        for layer in (0, 1)
    )
    assert one["weights"] == other["weights"]
    assert digest_of(one) != digest_of(other)


@pytest.fixture
def model(tiny_model: ModelInput, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may change."""
    return Path(shutil.copytree(tiny_model.path, tmp_path / "model"))


def digest(folder: Path, stores: Path) -> str:
    return model_digest(ModelInput(str(folder), None, "any"), stores)


def flip_last(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_weights_and_configuration_change_the_digest(
    name: str, model: Path, tmp_path: Path
) -> None:
    before = digest(model, tmp_path / "stores")
    flip_last(model / name)
    os.utime(model / name, ns=(1, 1))
    assert digest(model, tmp_path / "stores") != before


def test_an_adapter_and_the_model_it_belongs_to_change_the_digest(
    model: Path, tmp_path: Path
) -> None:
    stores, base = tmp_path / "stores", tmp_path / "base"
    shutil.copytree(model, base)
    seen = [digest(model, stores)]
    (model / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(base), "revision": None})
    )
    seen.append(digest(model, stores))
    (model / "adapter_model.safetensors").write_bytes(b"factors")
    seen.append(digest(model, stores))
    flip_last(base / "model.safetensors")
    os.utime(base / "model.safetensors", ns=(1, 1))
    seen.append(digest(model, stores))
    assert len(set(seen)) == 4


def test_other_files_and_the_name_of_the_folder_do_not_change_the_digest(
    model: Path, tmp_path: Path
) -> None:
    before = digest(model, tmp_path / "stores")
    (model / "README.md").write_text("about it")
    (model / "checkpoints").mkdir()
    model = model.rename(tmp_path / "renamed")
    assert digest(model, tmp_path / "stores") == before


def test_an_unchanged_file_is_read_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = tmp_path / "stores"
    before = digest(model, stores)
    monkeypatch.setattr(digests, "file_hash", lambda path: pytest.fail(f"{path} is read again"))
    assert digest(model, stores) == before


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"/else": 3}'])
def test_damaged_hashes_are_made_again(content: str, model: Path, tmp_path: Path) -> None:
    stores = tmp_path / "stores"
    before = digest(model, stores)
    (stores / HASHES).write_text(content)
    assert digest(model, stores) == before
    assert str(model / "config.json") in json.loads((stores / HASHES).read_text())


def test_a_model_of_the_hub_is_named_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = iter(["a" * 40, "a" * 40, "b" * 40])
    found = "/hub/models--o--m/snapshots/{}/config.json"
    monkeypatch.setattr(
        "transformers.utils.cached_file", lambda *_, **__: found.format(next(commits))
    )
    first, same, other = (model_digest(ModelInput("o/m", "main", "x"), tmp_path) for _ in range(3))
    assert first == same != other


def test_a_model_of_the_hub_that_cannot_be_found_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OSError("https://user:secret@hub")

    monkeypatch.setattr("transformers.utils.cached_file", lost)
    with pytest.raises(ModelError, match="cannot be loaded from the hub") as caught:
        model_digest(ModelInput("o/m", "main", "x"), tmp_path)
    assert "secret" not in str(caught.value)


def test_the_processor_has_a_name() -> None:
    assert store_key._processor()


def test_another_file_of_the_same_size_and_time_is_another_model(
    model: Path, tmp_path: Path
) -> None:
    stores, weights = tmp_path / "stores", model / "model.safetensors"
    before, state = digest(model, stores), weights.stat()
    flip_last(weights)
    while weights.stat().st_ctime_ns == state.st_ctime_ns:  # The system's clock has ticks.
        os.utime(weights)
    # As a copy does that keeps the time.
    os.utime(weights, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert digest(model, stores) != before


def test_without_room_for_hashes_all_files_are_read_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    expected = digest(model, tmp_path / "stores")
    monkeypatch.setattr(digests, "write_json", full)
    assert digest(model, tmp_path / "full") == expected
    monkeypatch.setattr(Path, "mkdir", full)
    assert digest(model, tmp_path / "none") == expected


def test_the_code_that_gives_new_tokens_their_rows_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store_key._code.__wrapped__()
    other = tmp_path / "load.py"
    other.write_text("changed")
    monkeypatch.setattr(store_key.load, "__file__", str(other))
    assert store_key._code.__wrapped__() != before
