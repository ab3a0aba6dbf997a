"""Places that cannot be written: who needs them, the path and the need in the message, the code."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.run.stage_runner import StageRunner
from halo_core.workspace.disk import path_problem
from halo_core.workspace.files import begun_folder, write_text

Halo = Callable[..., Any]

NOWHERE = "/proc/no/such/place"
"""A folder that even root cannot make."""


def fails(code: int, path: str) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), path)

    return call


def test_plan_and_validate_need_no_workspace_that_can_be_written(
    halo: Halo, spec_file: Path
) -> None:
    assert halo("validate", str(spec_file)).code == 0
    usual = halo("plan", str(spec_file), "--json", "--workspace", "w")
    plan = halo("plan", str(spec_file), "--json", "--workspace", NOWHERE)
    assert plan.code == 0, plan.err
    assert plan.json["stages"][0]["data"] == usual.json["stages"][0]["data"]
    assert plan.json["stages"][0]["data"]["data"]["sources"][0]["rows"] == 4
    assert plan.json["folder"].startswith(NOWHERE)
    assert halo("run", str(spec_file), "--dry-run", "--workspace", NOWHERE).code == 0


def test_a_suite_is_planned_without_a_workspace_that_can_be_written(
    halo: Halo, suite_file: Path
) -> None:
    plan = halo("plan", str(suite_file), "--workspace", NOWHERE)
    assert plan.code == 0, plan.err


def test_a_workspace_that_can_only_be_read_is_planned_in_and_stays_as_it_is(
    halo: Halo, spec_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert halo("run", str(spec_file)).code == 0
    root = spec_file.parent / "workspace"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    access = os.access
    # Root may write everywhere, so the answer of the system is replaced.
    monkeypatch.setattr("os.access", lambda path, mode: path != root and access(path, mode))
    done = halo("plan", str(spec_file), "--json")
    assert [stage["state"] for stage in done.json["stages"]] == ["done"] * 3
    other = halo("plan", str(spec_file), "--json", "--set", "data.train.count=6")
    assert other.code == 0
    assert other.json["stages"][0]["data"]["data"]["sources"][0]["rows"] == 6
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    refused = halo("run", str(spec_file))
    assert refused.code == 2
    assert "this cannot be the workspace: Permission denied; expected a folder" in refused.err
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    refused = halo("run", str(spec_file))
    assert "the workspace: Read-only file system; expected a folder that can be w" in refused.err
    for words in (["runs", "rename", "small", "other"], ["runs", "rm", "small", "--yes"]):
        refused = halo(*words)
        assert refused.code == 2
        assert "this workspace cannot be written to" in refused.err
        assert "Read-only file system" in refused.err


def test_a_workspace_whose_folder_of_rows_can_only_be_read_is_planned_in(
    halo: Halo, spec_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = spec_file.parent / "workspace" / "data"
    rows.mkdir(parents=True)
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: path != rows and access(path, mode))
    done = halo("plan", str(spec_file), "--json")
    assert done.code == 0, done.err
    assert done.json["stages"][0]["data"]["data"]["sources"][0]["rows"] == 4
    assert list(rows.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "need"),
    [
        (errno.ENOSPC, "bytes are free. Make room on this disk"),
        (errno.EROFS, "the file system is read-only; expected a place that can be written to"),
        (errno.EACCES, "this user may not read or write it. Change its permissions"),
        (errno.ENAMETOOLONG, "its name is too long for the file system; choose a shorter one"),
    ],
)
def test_a_run_that_cannot_write_names_the_path_and_the_need(
    halo: Halo, spec_file: Path, monkeypatch: pytest.MonkeyPatch, code: int, need: str
) -> None:
    place = str(spec_file.parent / "workspace" / "x.json")
    with monkeypatch.context() as patch:
        patch.setattr("halo_core.run.controller.write_run", fails(code, place))
        early = halo("run", str(spec_file), "--json")
    # No stage has begun: the user can change the place, or make room there.
    assert (early.code, early.json["error"]["type"]) == (2, "PathError")
    with monkeypatch.context() as patch:
        patch.setattr("halo_core.run.execute.check_values", fails(code, place))
        within = halo("run", str(spec_file), "--json")
    assert (within.code, within.json["error"]["type"]) == (1, "DiskError")
    with monkeypatch.context() as patch:
        patch.setattr(StageRunner, "_end_stage", fails(code, place))
        late = halo("run", str(spec_file), "--json")
    assert (late.code, late.json["error"]["type"]) == (1, "DiskError")
    for ended in (early, within, late):
        error = ended.json["error"]
        assert error["location"] == place
        assert need in error["message"]


def test_any_command_names_a_path_that_is_too_long(halo: Halo) -> None:
    failed = halo("validate", f"{'x' * 300}.yaml")
    assert failed.code == 2
    assert "File name too long; expected a YAML file" in failed.err
    failed = halo("runs", "--workspace", "x" * 300)
    assert failed.code == 2
    assert "File name too long" in failed.err
    assert "internal error" not in failed.err


@pytest.mark.parametrize(
    ("act", "place", "need"),
    [
        (lambda at: (at / "folder").open(), "folder", "a folder is in the place of a file"),
        (
            lambda at: (at / "file").replace(at / "folder"),
            "folder",
            "a folder is in the place of a file",
        ),
        (
            lambda at: (at / "folder").replace(at / "file"),
            "file",
            "a file is in the place of a folder",
        ),
        (
            lambda at: (at / "file" / "a").mkdir(),
            "file/a",
            "a file is in the place of a folder",
        ),
        (
            lambda at: (at / "file").mkdir(exist_ok=True),
            "file",
            "something else is in the place of a folder",
        ),
        (lambda at: (at / "round").open(), "round", "links lead in a circle"),
    ],
)
def test_what_stands_in_the_way_of_a_file_or_folder_is_named(
    tmp_path: Path, act: Callable[[Path], None], place: str, need: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match=r"^\[Errno \d+\] ") as raised:
        act(tmp_path)
    problem = path_problem(raised.value)
    assert problem is not None
    message, path = problem
    assert path == str(tmp_path / place)
    assert need in message


def test_a_run_without_room_for_its_rows_continues_when_there_is_room(
    halo: Halo, spec_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("halo_core.workspace.disk.free_bytes", lambda folder: 1000)
        failed = halo("run", str(spec_file), "--json")
    assert (failed.code, failed.json["error"]["type"]) == (2, "PathError")
    assert "there is no room for" in failed.json["error"]["message"]
    assert "1,000 bytes are free" in failed.json["error"]["message"]
    assert halo("run", str(spec_file)).code == 0


@pytest.mark.parametrize("name", ["x" * 255, f"{'ü' * 125}.json"])
def test_a_name_that_the_file_system_just_takes_is_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
    (tmp_path / name).unlink()
    partial = begun_folder(tmp_path / name)
    assert begun_folder(tmp_path / name) != partial  # The remains of a killed writer are removed.
    assert not partial.exists()


def test_an_unfinished_folder_of_another_name_is_left_alone(tmp_path: Path) -> None:
    other = begun_folder(tmp_path / "other")
    begun_folder(tmp_path / "*")
    assert other.is_dir()


def test_half_a_spec_is_not_left_behind(
    halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, limits = errno.EFBIG, resource.getrlimit(resource.RLIMIT_FSIZE)
    given = ["init", "spec.yaml", "--model", "new", "--data", "toy", "--method", "kto"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        failed = halo(*given)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.code == 2
    assert failed.err == f"spec.yaml: cannot be written: {os.strerror(code)}\n"
    assert not Path("spec.yaml").exists()
    assert halo(*given).code == 0
