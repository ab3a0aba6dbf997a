"""`halo store`: lists stores and removes those that nobody uses."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halo_core.cli import call as halo
from halo_core.workspace.records import REFERENCE_STORE, ReferenceStoreRecord
from halo_trainer.reference_store.overview import entries, remove
from halo_trainer.reference_store.store import USED, ReferenceStore, segment_paths


def make_store(workspace: Path, name: str, days: float = 0) -> ReferenceStore:
    """Returns an open store with one completion; it was last used a given number of days ago."""
    folder = workspace / "cache/reference" / name
    store = ReferenceStore(folder, pytest.fail)
    record = ReferenceStoreRecord(model=f"models/{name}", depends_on={}, computed={})
    REFERENCE_STORE.write(folder, record)
    store.use_key("k")
    store.add(bytes(32), np.zeros(3, np.float32))
    store.flush()
    used = time.time() - 24 * 3600 * days
    os.utime(folder / USED, (used, used))
    return store


def call(workspace: Path, *arguments: str) -> int:
    return halo(["store", *arguments, "--workspace", str(workspace)])


def answer(workspace: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert call(workspace, *arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_stores_are_listed_with_model_completions_size_and_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(tmp_path, "old", days=3).close()
    store = make_store(tmp_path, "new")
    old, new = sorted(answer(tmp_path, capsys)["stores"], key=lambda entry: entry["last_used"])
    assert (old["model"], old["completions"], old["in_use"]) == ("models/old", 1, False)
    assert (new["model"], new["completions"], new["in_use"]) == ("models/new", 1, True)
    assert old["bytes"] == sum(p.stat().st_size for p in Path(old["folder"]).iterdir())
    assert call(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "models/new: 1 completions" in shown
    assert "in use now" in shown
    assert "last used" in shown
    assert "2 stores" in shown
    assert "damaged" not in shown
    store.close()
    assert not any(entry.in_use for entry in entries(tmp_path / "cache/reference"))


def test_a_workspace_without_stores_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(tmp_path, capsys)["stores"] == []
    assert answer(tmp_path, capsys, "--prune", "--all")["removed"] == []


def test_old_stores_are_removed_and_the_freed_space_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, days in (("old", 3.0), ("new", 1.0)):
        make_store(tmp_path, name, days).close()
    found = answer(tmp_path, capsys, "--prune", "--older-than", "2")
    assert [entry["model"] for entry in found["removed"]] == ["models/old"]
    assert found["freed_bytes"] == found["removed"][0]["bytes"] > 0
    assert [e.model for e in entries(tmp_path / "cache/reference")] == ["models/new"]


def test_a_store_in_use_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path, "busy")
    make_store(tmp_path, "idle").close()
    found = answer(tmp_path, capsys, "--prune", "--all")
    assert [entry["model"] for entry in found["removed"]] == ["models/idle"]
    assert [entry["model"] for entry in found["in_use"]] == ["models/busy"]
    assert call(tmp_path, "--prune", "--all") == 0
    assert "models/busy: in use, and kept" in capsys.readouterr().out
    store.close()
    assert len(answer(tmp_path, capsys, "--prune", "--all")["removed"]) == 1


def test_a_lock_that_a_killed_training_left_does_not_keep_a_store(tmp_path: Path) -> None:
    store = make_store(tmp_path, "left")
    lock = Path(store._lock.lock_file)
    store.close()
    lock.touch()
    (entry,) = entries(tmp_path / "cache/reference")
    assert not entry.in_use
    assert remove(entry)


def test_a_training_goes_on_when_its_store_is_removed_by_hand(tmp_path: Path) -> None:
    store = make_store(tmp_path, "gone")
    (entry,) = entries(tmp_path / "cache/reference")
    entry.folder.rename(tmp_path / "elsewhere")
    values = store.read(bytes(32), 3)
    assert values is not None
    store.add(bytes([1]) * 32, np.zeros(2, np.float32))
    store.close()
    assert len(list(segment_paths(entry.folder))) == 1
    assert not remove(entry) or not entry.folder.exists()


def test_damaged_stores_are_listed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path, "bad").close()
    folder = tmp_path / "cache/reference/bad"
    (folder / "store.json").write_text("{")
    for path in segment_paths(folder):
        path.write_bytes(b"")
    (entry,) = answer(tmp_path, capsys)["stores"]
    assert (entry["model"], entry["completions"], entry["damaged"]) == (None, 0, 1)
    assert call(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "unknown model" in shown
    assert "damaged: 1 of its files" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prune"],
        ["--all"],
        ["--older-than", "3"],
        ["--prune", "--all", "--older-than", "3"],
    ],
)
def test_unclear_orders_are_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(tmp_path, "kept").close()
    assert call(tmp_path, *arguments) == 2
    assert "expected --prune with either" in capsys.readouterr().err
    assert len(entries(tmp_path / "cache/reference")) == 1


def test_a_missing_workspace_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path / "none") == 2
    assert "there is no such folder" in capsys.readouterr().err
