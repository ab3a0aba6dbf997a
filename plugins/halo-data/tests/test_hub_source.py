from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from halo_core.errors import DataError, DiskError, UserError
from halo_data.components import HH, Hub

COMMIT = "ab" * 20
ROWS = [{"prompt": "Sky?", "completion": "Blue.", "label": True}] * 2 + [
    {"prompt": "Sky?", "completion": "", "label": False}
]


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, hub_sizes: dict[str, tuple[int, int]]
) -> list[dict[str, Any]]:
    """A hub with one data set. Returns the list of requests."""
    calls: list[dict[str, Any]] = []

    def load_dataset(path: str, name: str | None = None, **given: Any) -> Any:
        calls.append({"path": path, "name": name, **given})
        if path == "nobody/nothing":
            raise datasets.exceptions.DatasetNotFoundError("Dataset not found")
        if path == "far/away":
            raise ConnectionError("no route to host\nmore")
        if path == "too/large":
            raise OSError("Not enough disk space. Needed: 9.9 TB (download: 9 TB)")
        if path == "fills/disk":
            full = OSError(errno.ENOSPC, "No space left on device")
            raise datasets.exceptions.DatasetGenerationError("while generating") from full
        if given.get("split") == "tset":
            raise ValueError('Unknown split "tset". Should be one of ["train"].')
        if given.get("streaming"):
            return {"train": iter(ROWS)}
        return datasets.Dataset.from_list(ROWS)

    class Api:
        def dataset_info(self, repo_id: str, **given: Any) -> Any:
            if repo_id == "far/away":
                raise ConnectionError("no route to host")
            if repo_id == "nobody/nothing":
                raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)
            return type("Info", (), {"sha": COMMIT})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return calls


@pytest.mark.usefixtures("hub")
def test_inspect_knows_kind_splits_and_commit() -> None:
    info = Hub(id="some/thing").inspect()
    assert (info.feedback, info.splits) == ("binary", ("train",))
    assert info.digest == Hub(id="some/thing", revision=COMMIT).inspect().digest
    assert info.digest != Hub(id="some/thing", revision="cd" * 20).inspect().digest


@pytest.mark.usefixtures("hub")
def test_load_reads_and_counts_like_a_file() -> None:
    loaded = Hub(id="some/thing").load("train")
    assert [row["id"] for row in loaded.rows] == ["train:1", "train:2"]
    assert dict(loaded.dropped) == {"empty completion": 1}


def test_options_reach_datasets_and_no_code_is_trusted(hub: list[dict[str, Any]]) -> None:
    list(Hub(id="some/thing", name="part", revision="v1").load("train").rows)
    assert hub[-1] == {
        "path": "some/thing",
        "name": "part",
        "data_dir": None,
        "split": "train",
        "revision": "v1",
    }


@pytest.mark.usefixtures("hub")
def test_hub_out_of_reach_is_not_yet_known_at_inspect() -> None:
    info = Hub(id="far/away").inspect()
    assert (info.feedback, info.splits, info.digest) == (None, (), None)


@pytest.mark.usefixtures("hub")
def test_hub_out_of_reach_is_an_error_at_load() -> None:
    with pytest.raises(UserError, match=r"far/away.*ConnectionError: no route to host\. Is"):
        Hub(id="far/away").load("train")


@pytest.mark.usefixtures("hub")
def test_data_set_that_does_not_exist_is_an_error() -> None:
    for act in (Hub(id="nobody/nothing").inspect, lambda: Hub(id="nobody/nothing").load("train")):
        with pytest.raises(DataError, match="nobody/nothing: no such data set on the hub"):
            act()


@pytest.mark.usefixtures("hub")
def test_split_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(DataError, match=r"split 'tset': Unknown split \"tset\"\. Should be one of"):
        Hub(id="some/thing").load("tset")


def test_hh_asks_for_every_subset_of_the_hub(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="expected the original schema"):
        list(HH().load("train").rows)
    assert hub[-1]["path"] == "Anthropic/hh-rlhf"
    assert hub[-1]["data_dir"] == "helpful-base"


@pytest.mark.usefixtures("hub")
def test_hh_knows_only_its_own_splits() -> None:
    with pytest.raises(DataError, match=r"Anthropic/hh-rlhf: no split 'validation'"):
        HH().load("validation")


def test_local_data_set_is_read_through_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    message = {"role": "user", "content": "Sky?"}
    answers = [[{"role": "assistant", "content": text}] for text in ("Blue.", "Red.")]
    row = {"prompt": [message], "chosen": answers[0], "rejected": answers[1]}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    real = datasets.load_dataset
    cached = {"cache_dir": str(tmp_path / "cache")}
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: real(*a, **k, **cached))
    (found,) = Hub(id=str(folder)).load("train").rows
    assert found["prompt"] == [message]
    assert (found["chosen"], found["rejected"]) == ("Blue.", "Red.")


def test_hub_out_of_reach_is_never_asked_for_rows_at_inspect(hub: list[dict[str, Any]]) -> None:
    Hub(id="far/away").inspect()
    info = Hub(id="far/away", revision=COMMIT).inspect()
    assert hub == []
    assert info.digest is not None


def test_offline_mode_reads_what_is_in_the_cache(
    hub: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    Hub(id="far/away", revision=COMMIT).inspect()
    assert hub[-1]["streaming"] is False


@pytest.mark.usefixtures("hub")
def test_a_data_set_that_is_larger_than_the_disk_is_refused_with_one_sentence() -> None:
    with pytest.raises(DiskError) as caught:
        Hub(id="too/large").load("train")
    assert str(caught.value) == (
        "too/large, split 'train': Not enough disk space. Needed: 9.9 TB (download: 9 TB). Make "
        "room, or move the cache of downloads with the variable HF_HOME"
    )


def test_a_size_that_the_hub_knows_is_compared_with_the_disk_before_anything_is_read(
    hub: list[dict[str, Any]],
    hub_sizes: dict[str, tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    hub_sizes["some/thing"] = (30_000_000, 20_000_001)
    with pytest.raises(UserError) as caught:
        Hub(id="some/thing").load("train")
    assert str(caught.value) == (
        "some/thing, split 'train': the data set is larger than the disk: it needs 50,000,001 "
        f"bytes in {tmp_path} (30,000,000 to download, 20,000,001 as rows), and 50,000,000 bytes "
        "are free. Make room, or move the cache of downloads with the variable HF_HOME"
    )
    assert caught.value.exit_code == 2
    assert hub == []
    # What was downloaded before needs no room.
    (tmp_path / "cache" / "some" / "thing").mkdir(parents=True)
    Hub(id="some/thing").load("train")
    assert len(hub) == 1


@pytest.mark.usefixtures("hub")
def test_a_disk_that_becomes_full_during_the_download_is_said_so() -> None:
    with pytest.raises(DiskError, match=r"the disk is full: .* are free\. Make room, or move"):
        Hub(id="fills/disk").load("train")
