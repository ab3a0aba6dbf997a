"""No link in a workspace lets halo write, cut or remove anything outside of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import PathError
from halo_core.workspace.files import append_lines, mend_last_line, whole_folder, write_text
from halo_core.workspace.lock import held
from halo_core.workspace.no_links import check_no_links

Halo = Callable[..., Any]
PRECIOUS = "precious, and without a line end"
SAID = "halo writes through no link in a workspace. Remove the link; for another disk, name another"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file, in which a link could do damage."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text(PRECIOUS)
    return folder


def is_whole(outside: Path) -> bool:
    files = {path.name: path.read_text() for path in outside.rglob("*")}
    return files == {"file": PRECIOUS}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: append_lines(path, [{"a": 1}]),
        mend_last_line,
        lambda path: held(path.with_name("x")).__enter__(),
    ],
    ids=["append", "mend", "lock"],
)
def test_files_are_not_opened_through_a_link(
    write: Callable[[Path], object], tmp_path: Path, outside: Path
) -> None:
    link = tmp_path / ".x.lock"
    link.symlink_to(outside / "file")
    with pytest.raises(PathError, match="halo writes through no link"):
        write(link)
    assert is_whole(outside)


def test_a_text_is_not_written_through_a_link_with_its_unfinished_name(
    tmp_path: Path, outside: Path
) -> None:
    target = tmp_path / "done.json"
    (tmp_path / f".done.json.{os.getpid()}").symlink_to(outside / "new")
    with pytest.raises(PathError, match=r"is a link to .*/new; halo writes through no link"):
        write_text(target, "{}")
    assert is_whole(outside)
    # A record that is a link is replaced, and not followed.
    target.symlink_to(outside / "file")
    write_text(target, "{}")
    assert not target.is_symlink()
    assert is_whole(outside)


def test_a_folder_replaces_a_link_and_leaves_its_target(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "model").symlink_to(outside)
    with whole_folder(tmp_path / "model") as new:
        (new / "weights").write_text("w")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["weights"]
    assert not (tmp_path / "model").is_symlink()
    assert is_whole(outside)


def test_links_within_a_workspace_and_a_workspace_that_is_a_link_are_fine(tmp_path: Path) -> None:
    stage = tmp_path / "real" / "stages" / "a"
    stage.mkdir(parents=True)
    (stage / "last").symlink_to("step-1")
    (tmp_path / "w").symlink_to(tmp_path / "real")
    check_no_links(tmp_path / "w", tmp_path / "w" / "stages" / "a")
    (stage / "round").symlink_to("round")
    check_no_links(tmp_path / "w", tmp_path / "w" / "stages" / "a")
    (stage / "checkpoint").mkdir()
    (stage / "checkpoint" / "far").symlink_to("../../../../far")
    with pytest.raises(PathError, match=r"checkpoint/far: is a link to \.\./.*far; halo writes"):
        check_no_links(tmp_path / "w", stage)


def done_folders(halo: Halo, spec: Path, workspace: Path) -> tuple[Path, Path]:
    assert halo("run", str(spec), "--workspace", str(workspace)).code == 0
    (stage,) = (workspace / "stages").glob("Learn-*")
    (run,) = (workspace / "runs").glob("small-*")
    return stage, run


PLACES: dict[str, Callable[[Path, Path], tuple[Path, bool]]] = {
    "events of the run": lambda stage, run: (run / "events.jsonl", False),
    "a file of the stage": lambda stage, run: (stage / "calls.txt", False),
    "product of the stage": lambda stage, run: (stage / "model", True),
    "folder of the stage": lambda stage, run: (stage, True),
    "folder of the run": lambda stage, run: (run, True),
    "all stages": lambda stage, run: (stage.parent, True),
    "all runs": lambda stage, run: (run.parent, True),
    "all rows": lambda stage, run: (run.parent.parent / "data", True),
    "cache": lambda stage, run: (run.parent.parent / "cache", True),
    "lock of the run": lambda stage, run: (run.with_name(f".{run.name}.lock"), False),
    "turn of the stage": lambda stage, run: (stage.with_name(f".{stage.name}.turn.lock"), False),
    "unfinished copy": lambda stage, run: (stage.with_name(f".{stage.name}.1.partial"), True),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_run_refuses_a_link_out_of_its_workspace_in_one_sentence(
    place: Callable[[Path, Path], tuple[Path, bool]],
    halo: Halo,
    spec_file: Path,
    tmp_path: Path,
    outside: Path,
) -> None:
    stage, run = Path("stages/Learn-x"), Path("runs/small-x")
    plan = halo("plan", str(spec_file), "--workspace", str(tmp_path / "w"), "--json").json
    stage, run = Path(plan["stages"][0]["folder"]), Path(plan["folder"])
    path, is_folder = place(stage, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(tmp_path / "aside")
    path.symlink_to(outside if is_folder else outside / "file")
    refused = halo("run", str(spec_file), "--workspace", str(tmp_path / "w"))
    assert refused.code == 2, refused.err
    assert f"{path}: is a link to {outside}" in refused.err
    assert SAID in refused.err
    assert is_whole(outside)


def test_a_finished_stage_that_is_a_link_is_read_and_not_computed_again(
    halo: Halo, spec_file: Path, tmp_path: Path
) -> None:
    stage, _ = done_folders(halo, spec_file, tmp_path / "w")
    shared = stage.rename(tmp_path / stage.name)
    stage.symlink_to(shared)
    options = [str(spec_file), "--workspace", str(tmp_path / "w")]
    assert halo("run", *options).code == 0
    again = halo("run", *options, "--again", "learn")
    assert again.code == 2
    assert f"{stage}: is a link to {shared}; {SAID}" in again.err
    (shared / "calls.txt").write_text("damaged")
    damaged = halo("run", *options)
    assert (damaged.code, (shared / "calls.txt").read_text()) == (2, "damaged")
    assert (shared / "done.json").exists()
