"""Too little room on the disk is reported in advance, and a full disk damages no file."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from halo_core.errors import DiskError
from halo_core.run.forecast import disk_warning
from halo_core.workspace.disk import (
    check_room,
    free_bytes,
    told_if_disk_fails,
    told_of_paths,
    with_margin,
)
from halo_core.workspace.files import append_bytes, append_lines, whole_folder, write_text

SetFree = Callable[[int], None]


@pytest.fixture
def set_free(monkeypatch: pytest.MonkeyPatch) -> SetFree:
    def free(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=count))

    return free


def test_too_little_room_names_the_folder_and_both_numbers(
    tmp_path: Path, set_free: SetFree
) -> None:
    needed = 100_000_000
    set_free(with_margin(needed))
    check_room(tmp_path, needed, "the model")
    set_free(with_margin(needed) - 1)
    with pytest.raises(DiskError) as error:
        check_room(tmp_path / "model", needed, "the model")
    assert str(error.value) == (
        f"{tmp_path / 'model'}: there is no room for the model: 100,000,000 bytes are needed and "
        "some for records, 117,777,216 in all; 117,777,215 bytes are free. Make room on this disk "
        "(halo runs gc helps), or move the workspace; then run the same command again to continue"
    )
    assert error.value.exit_code == 1


def test_what_is_free_is_that_of_a_folder_that_will_be_made(tmp_path: Path) -> None:
    there = shutil.disk_usage(tmp_path).free
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(there, rel=0.1)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError('IoError(Os { code: 28, message: "No space left on device" })'),
        ValueError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        ValueError("Error writing bytes to file. Detail: [errno 122] Disk quota exceeded"),
    ],
)
def test_a_disk_that_is_full_all_the_same_leaves_what_was_there(
    error: Exception, tmp_path: Path
) -> None:
    folder = tmp_path / "step-1"
    folder.mkdir()
    (folder / "weights").write_text("old")
    with pytest.raises(DiskError, match=r"the disk is full: .* bytes are free\. Make room"):
        with whole_folder(folder):
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert (folder / "weights").read_text() == "old"


def test_other_errors_are_told_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError, match="reset by peer"), told_if_disk_fails(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    with pytest.raises(RuntimeError, match="413"), told_if_disk_fails(tmp_path):
        raise RuntimeError("the server answered 413: File too large")
    with pytest.raises(RuntimeError, match="507"), told_if_disk_fails(tmp_path):
        raise RuntimeError("the server answered 507: No space left on device")


def test_words_without_a_number_count_if_the_disk_is_full(
    tmp_path: Path, set_free: SetFree
) -> None:
    set_free(1000)
    with pytest.raises(DiskError, match="the disk is full"), told_if_disk_fails(tmp_path):
        raise RuntimeError("writing failed: No space left on device")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_files_of_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiskError, match="No space left"):
        append_lines(Path("/dev/full"), [{"v": 1}])
    monkeypatch.setattr("halo_core.workspace.files.opened", lambda _, mode: open("/dev/full", mode))
    with pytest.raises(DiskError, match="No space left"):
        write_text(tmp_path / "done.json", "{}")


def test_a_plan_that_does_not_fit_is_warned_of(tmp_path: Path, set_free: SetFree) -> None:
    set_free(5 * 10**9)
    assert disk_warning(10**9, tmp_path) is None
    assert disk_warning(0, tmp_path) is None
    assert disk_warning(7 * 10**9, tmp_path) == (
        f"{tmp_path}: the stages need about 7.0 GB; 5.0 GB are free. "
        "A run stops before it writes a file that does not fit; make room first"
    )
    set_free(1000)
    assert str(disk_warning(2_500_000, tmp_path)).startswith(
        f"{tmp_path}: the stages need about 2,500,000 bytes; 1,000 bytes are free. "
    )


def test_a_disk_that_takes_half_a_line_has_whole_lines_when_there_is_room_again(
    tmp_path: Path,
) -> None:
    file, limits = tmp_path / "events.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    append_lines(file, [{"step": 1}])
    before = file.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        with pytest.raises(DiskError, match="File too large"):
            append_lines(file, [{"step": 2}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    append_lines(file, [{"step": 3}])
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 3]
    with pytest.raises(DiskError, match="the disk is full"):
        append_bytes(Path("/dev/full"), b"line")


@pytest.mark.parametrize(
    ("error", "need"),
    [
        (OSError(errno.EFBIG, "File too large"), "Raise the limit of the shell (ulimit -f)"),
        (OSError(errno.EIO, "Input/output error"), "Look at the log of the system"),
        (OSError(errno.ESTALE, "Stale file handle"), "Mount it"),
        (RuntimeError("I/O error: File too large (os error 27)"), "ulimit -f"),
    ],
    ids=str,
)
def test_another_failure_of_the_disk_names_the_folder_and_the_need(
    error: Exception, need: str, tmp_path: Path
) -> None:
    with pytest.raises(DiskError, match=re.escape(need)) as told, told_if_disk_fails(tmp_path):
        raise error
    assert told.value.location == str(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENOSPC])
def test_a_failure_without_a_path_is_no_internal_error(number: int) -> None:
    with pytest.raises(DiskError, match=os.strerror(number)), told_of_paths():
        raise OSError(number, os.strerror(number))


def test_a_current_folder_that_was_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(DiskError, match="the current folder was removed"), told_of_paths():
        Path("workspace").resolve()
