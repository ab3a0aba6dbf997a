"""Content is on the disk before a rename, and the new name is on the disk after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.errors import DiskError
from halo_core.workspace.files import make_durable, put_in_place, whole_folder, write_text


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The syncs and renames in order, as (operation, name)."""
    calls: list[tuple[str, str]] = []
    sync = os.fsync
    open_: dict[int, str] = {}
    opening = os.open

    def opened(path: Path, *arguments: int, **at: int) -> int:
        descriptor = opening(path, *arguments, **at)
        open_[descriptor] = Path(path).name
        return descriptor

    def synced(descriptor: int) -> None:
        sync(descriptor)
        calls.append(("sync", open_[descriptor]))

    def renaming(name: str) -> Callable[[Path, Path], Path]:
        rename = getattr(Path, name)

        def renamed(path: Path, target: Path) -> Path:
            calls.append(("rename", target.name))
            return rename(path, target)  # type: ignore[no-any-return]

        return renamed

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, renaming(name))
    return calls


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, done: list[tuple[str, str]]
) -> None:
    write_text(tmp_path / "done.json", "{}")
    beside = f".done.json.{os.getpid()}"
    assert done == [("sync", beside), ("rename", "done.json"), ("sync", tmp_path.name)]


def test_a_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="No space left"):
        write_text(tmp_path / "done.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_written_beside_replaces_another(
    tmp_path: Path, done: list[tuple[str, str]]
) -> None:
    beside, path = tmp_path / "rows.part", tmp_path / "rows"
    beside.write_text("new")
    path.write_text("old")
    put_in_place(beside, path)
    assert path.read_text() == "new"
    assert done == [("sync", "rows.part"), ("rename", "rows"), ("sync", tmp_path.name)]


@pytest.mark.parametrize("before", [False, True])
def test_a_folder_is_on_the_disk_with_all_its_files_before_it_has_its_name(
    before: bool, tmp_path: Path, done: list[tuple[str, str]]
) -> None:
    folder = tmp_path / "step-1"
    if before:
        folder.mkdir()
    with whole_folder(folder) as partial:
        (partial / "weights").write_text("w")
        (partial / "inner").mkdir()
        (partial / "inner" / "state").write_text("s")
    synced = {name for what, name in done if what == "sync"}
    assert synced == {"weights", "state", "inner", partial.name, tmp_path.name}
    assert done[-2:] == [("rename", "step-1"), ("sync", tmp_path.name)]
    assert [what for what, _ in done].count("sync") == 5
    assert [what for what, _ in done][:4] == ["sync"] * 4


def test_what_a_link_leads_to_and_what_is_no_file_is_left_alone(
    tmp_path: Path, done: list[tuple[str, str]]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/")
    make_durable(tmp_path)
    make_durable(tmp_path / "gone")
    assert done == [("sync", tmp_path.name)]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_of_a_folder_get_the_permissions_of_new_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "new").touch()
        with whole_folder(tmp_path / "folder") as partial:
            (partial / "inner").mkdir()
            for name in ("weights", "inner/weights"):
                (partial / name).touch(mode=0o600)
    finally:
        os.umask(before)
    expected = (tmp_path / "new").stat().st_mode
    for name in ("weights", "inner/weights"):
        assert (tmp_path / "folder" / name).stat().st_mode == expected
