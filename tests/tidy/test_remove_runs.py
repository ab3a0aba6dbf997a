"""`halo runs rm`: what it removes and keeps, what it refuses, and what a kill leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.tidy import trash
from halo_core.workspace.formats import ObjectFile
from halo_core.workspace.lock import locked, owned, turn
from halo_core.workspace.records import EVENTS, RESOLVED_SPEC, RUN, STAGE, SUITE, TRASH


@pytest.fixture
def runs(made: Any) -> Any:
    """Two runs that share a stage and rows, and a suite of two cells that share it too."""
    base = made.stage("base", rows=["train"])
    weak = made.stage("weak", rows=["train", "weak"])
    strong = made.stage("strong", rows=["strong"])
    made.run("toy-a1", [base, weak])
    made.run("toy-b2", [base, strong])
    cells = {
        id_: made.run(f"fam-{id_}-d4", [base], spec="fam", cell=made.cell("fam-9f", id_))
        for id_ in ("kto", "dpo")
    }
    made.suite("fam-9f", cells)
    return made


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert call(["runs", "rm", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert call(["runs", "rm", *arguments]) == code
    both = capsys.readouterr()
    return both.out + both.err


def verified(capsys: pytest.CaptureFixture[str]) -> bool:
    code = call(["verify", "--all"])
    capsys.readouterr()
    return code == 0


def only_of(name: str, made: Any) -> set[str]:
    """Returns the files of a stage, without those that its rows and run have."""
    folder = f"stages/train-{made.key(name)}"
    return {file for file in made.files() if file.startswith(folder)}


def test_without_yes_nothing_changes_and_all_is_named(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs.files()
    text = said(["toy-a1"], capsys)
    assert runs.files() == before
    for name in ("toy-a1", f"train-{runs.key('weak')}", runs.key("weak")):
        assert name in text
    assert f"train-{runs.key('base')}" not in text
    assert "1 stage kept, because other runs need them" in text
    assert "Nothing was removed. To remove it, add --yes" in text
    plan = told(["toy-a1"], capsys)
    assert (plan["removed"], plan["runs"], plan["suites"]) == (False, ["toy-a1"], [])
    assert plan["bytes"] == sum(folder["size"] for folder in plan["folders"]) > 1000


def test_a_run_goes_with_what_only_it_needs(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = runs.files()
    removed = told(["toy-a1", "--yes"], capsys)
    gone = before - runs.files()
    assert {file.split("/")[1] for file in gone} == {
        "toy-a1",
        f"train-{runs.key('weak')}",
        runs.key("weak"),
    }
    assert removed["kept"] == [str(runs.root / f"stages/train-{runs.key('base')}")]
    assert not any((runs.root / "trash").iterdir())
    assert verified(capsys)


def test_the_last_run_takes_all_with_it(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told(["toy-a1", "toy-b2", "fam-9f", "--yes"], capsys)
    left = {file for file in runs.files() if "/" in file}
    assert left == set()


def test_a_suite_goes_with_its_runs_and_a_run_of_a_suite_leaves_a_pending_cell(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told(["fam-kto-d4", "--yes"], capsys)
    cells = {cell["id"]: cell for cell in SUITE.read(runs.root / "suites/fam-9f")["cells"]}
    assert (cells["kto"]["run"], cells["kto"]["status"]) == (None, "pending")
    assert (cells["dpo"]["run"], cells["dpo"]["status"]) == ("runs/fam-dpo-d4", "computed")
    removed = told(["fam-9f", "--yes"], capsys)
    assert (removed["suites"], removed["runs"]) == (["fam-9f"], ["fam-dpo-d4"])
    assert not (runs.root / "suites/fam-9f").exists()


def test_a_stage_that_another_spec_names_by_path_is_kept(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = runs.root / "runs/toy-b2" / RESOLVED_SPEC
    path = runs.root / f"stages/train-{runs.key('weak')}/model"
    spec.write_text(f"{spec.read_text()}model: {{path: {path}}}\n")
    removed = told(["toy-a1", "--yes"], capsys)
    assert path.is_dir()
    assert str(path.parent) in removed["kept"]


def test_a_stage_that_a_kept_stage_names_is_kept(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    weak = runs.root / f"stages/train-{runs.key('weak')}"
    strong = runs.root / f"stages/train-{runs.key('strong')}"
    record = STAGE.read(strong)
    STAGE.write(strong, {**record, "inputs": {"of": str(weak)}})
    told(["toy-a1", "--yes"], capsys)
    assert weak.is_dir()


def test_a_running_run_or_stage_is_refused_and_nothing_is_removed(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs.files()
    with owned(runs.root / "runs/toy-a1"):
        assert "toy-a1 is running: it can be removed when it has ended" in said(["toy-a1"], capsys)
        text = said(["toy-b2", "toy-a1", "--yes"], capsys, code=2)
    assert "toy-a1 is running, so nothing is removed. Stop it first, or wait" in text
    weak = runs.root / f"stages/train-{runs.key('weak')}"
    with turn(weak, first=lambda: None, check=lambda: None):
        assert "a process is computing this stage" in said(["toy-a1", "--yes"], capsys, code=2)
    with owned(weak):
        assert "a process is computing this stage" in said(["toy-a1", "--yes"], capsys, code=2)
    assert runs.files() - {"trash"} == before


def test_rows_are_kept_while_another_run_is_running(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with owned(runs.root / "runs/toy-b2"):
        removed = told(["toy-a1", "--yes"], capsys)
    assert removed["remarks"] == ["rows are kept, because toy-b2 is running and may need them"]
    assert (runs.root / "data" / runs.key("weak")).is_dir()
    assert not only_of("weak", runs)


def test_two_removals_at_once_are_not_possible(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs.files()
    with locked(runs.root / "trash", "x"):
        text = said(["toy-a1", "--yes"], capsys, code=2)
        assert call(["runs", "gc", "--yes"]) == 2
    assert "another halo runs rm or gc is working in this workspace" in text
    assert runs.files() == before


def test_a_damaged_record_of_another_run_stops_the_removal_and_can_be_removed_itself(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs.root / "runs/toy-b2" / RUN.name).write_text("{")
    text = said(["toy-a1", "--yes"], capsys, code=2)
    assert "it is not known which stages toy-b2 needs, so nothing is removed" in text
    assert "halo runs rm toy-b2" in text
    assert (runs.root / "runs/toy-a1").is_dir()
    removed = told(["toy-b2", "--yes"], capsys)
    assert [Path(folder["path"]).name for folder in removed["folders"]] == ["toy-b2"]
    assert "so only its folder is removed" in removed["remarks"][0]
    said(["toy-a1", "--yes"], capsys)


def test_a_run_without_a_record_still_protects_the_stages_in_its_events(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.root / "runs/toy-b2"
    name = f"train-{runs.key('weak')}"
    line = {"v": 1, "time": 1.0, "type": "stage-started", "folder": f"stages/{name}"}
    (folder / EVENTS.name).write_text(json.dumps(line) + "\n")
    (folder / RUN.name).unlink()
    told(["toy-a1", "--yes"], capsys)
    assert (runs.root / "stages" / name).is_dir()


def test_links_are_never_followed(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    (outside / "kept" / "file").write_text("x")
    weak = runs.root / f"stages/train-{runs.key('weak')}"
    (weak / "link").symlink_to(outside / "kept")
    (weak / "file-link").symlink_to(outside / "kept" / "file")
    told(["toy-a1", "--yes"], capsys)
    assert not weak.exists()
    strong = runs.root / f"stages/train-{runs.key('strong')}"
    strong.rename(outside / strong.name)
    strong.symlink_to(outside / strong.name)
    told(["toy-b2", "--yes"], capsys)
    assert (outside / strong.name / STAGE.name).is_file()
    assert (outside / "kept" / "file").read_text() == "x"


def test_a_run_in_another_place_is_not_reached_through_a_link(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "runs").mkdir(parents=True)
    run = elsewhere / "runs" / "far-e5"
    (runs.root / "runs/toy-a1").rename(run)
    (runs.root / "runs/far-e5").symlink_to(run)
    text = said(["far-e5", "--yes"], capsys, code=2)
    assert "is a link, and halo follows no links when it removes something" in text
    assert "outside of this workspace" in said(["far", "--yes"], capsys, code=2)
    assert run.is_dir()
    # Its stages are protected as long as the link names it.
    told(["toy-b2", "fam-9f", "--yes"], capsys)
    assert only_of("weak", runs)
    run.rename(elsewhere / "far-e5")
    assert "is not in a folder runs of a workspace" in said(
        [str(elsewhere / "far-e5"), "--yes"], capsys, code=2
    )


def test_a_folder_of_stages_that_is_a_link_keeps_its_stages(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs.root / "stages").rename(tmp_path / "big")
    (runs.root / "stages").symlink_to(tmp_path / "big")
    before = sorted(path.name for path in (tmp_path / "big").iterdir())
    removed = told(["toy-a1", "--yes"], capsys)
    assert sorted(path.name for path in (tmp_path / "big").iterdir()) == before
    assert removed["remarks"] == [f"{runs.root / 'stages'} is a link, so nothing in it is removed"]


def test_a_trash_that_is_a_link_is_refused(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs.root / "trash").symlink_to(tmp_path)
    assert "the trash is a link" in said(["toy-a1", "--yes"], capsys, code=2)
    assert (runs.root / "runs/toy-a1").is_dir()


def test_a_wrong_name_is_answered_with_the_nearest_and_nothing_is_removed(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs.files()
    assert "Did you mean 'toy-a1'?" in said(["toy-b2", "tou-a1", "--yes"], capsys, code=2)
    assert "is the beginning of 2 names" in said(["toy", "--yes"], capsys, code=2)
    assert runs.files() == before


def test_what_cannot_be_moved_is_named(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rename = Path.rename

    def refuse(path: Path, goal: Path) -> Any:
        if path.parent.name == "stages":
            raise PermissionError(13, "Permission denied")
        return rename(path, goal)

    monkeypatch.setattr(Path, "rename", refuse)
    text = said(["toy-a1", "--yes"], capsys, code=1)
    assert "could not be moved to the trash: Permission denied" in text
    assert "1 files or folders could not be removed" in text


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Does work in a process that kills itself at a step of it; returns whether it came so far.

    A step is a rename or the deletion of a file or folder.
    """
    child = os.fork()
    if child == 0:
        left = step

        def counted(call: Any) -> Any:
            def step_(*args: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return step_

        Path.rename = counted(Path.rename)  # type: ignore[method-assign]
        trash.shutil.rmtree = counted(trash.shutil.rmtree)
        os.unlink = counted(os.unlink)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("next_call", ["rm", "gc"])
def test_a_killed_removal_is_ended_by_the_next_call(
    runs: Any, next_call: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import shutil

    whole = tmp_path / "whole"
    shutil.copytree(runs.root, whole, symlinks=True)
    # Each of the two begins at another step, so together they try every one.
    step, killed = int(next_call == "gc"), True
    while killed:
        shutil.rmtree(runs.root)
        shutil.copytree(whole, runs.root, symlinks=True)
        killed = killed_at(step, lambda: call(["runs", "rm", "toy-a1", "--yes"]))
        capsys.readouterr()
        if killed and (runs.root / "runs/toy-a1").exists() and next_call == "rm":
            assert call(["runs", "rm", "toy-a1", "--yes"]) == 0
        else:
            assert call(["runs", "gc", "--yes"]) == 0
        capsys.readouterr()
        # The record of what to remove is written before the first folder is moved.
        if next_call == "rm" or step > 1 or not (runs.root / "runs/toy-a1").exists():
            assert not only_of("weak", runs)
            assert not (runs.root / "runs/toy-a1").exists()
        assert not any((runs.root / "trash").iterdir())
        assert verified(capsys)
        assert only_of("base", runs)
        step += 2
    assert step > 9


def test_a_run_that_was_begun_again_after_the_kill_is_kept(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(1, lambda: call(["runs", "rm", "toy-a1", "--yes"]))
    events = runs.root / "runs/toy-a1" / EVENTS.name
    if not events.exists():
        pytest.fail("the run was moved before the kill")
    os.utime(events, (2**33, 2**33))
    assert call(["runs", "gc", "--yes"]) == 0
    assert events.exists()
    assert only_of("weak", runs)
    capsys.readouterr()
    assert verified(capsys)


def test_a_removal_that_is_interrupted_says_what_becomes_of_it(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trash.shutil, "rmtree", interrupt)
        text = said(["toy-a1", "--yes"], capsys, code=130)
    assert "the next halo runs rm or halo runs gc with --yes ends it" in text
    assert not (runs.root / "runs/toy-a1").exists()
    assert call(["runs", "gc", "--json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["kind"] == "left by interrupted removals"
    assert call(["runs", "gc", "--yes"]) == 0
    assert "removed, " in capsys.readouterr().out
    assert not any((runs.root / "trash").iterdir())


def test_a_full_disk_does_not_stop_a_removal(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, failures = ObjectFile.write, [2]

    def full(record: Any, folder: Path, fields: Any) -> None:
        if record is TRASH and failures[0]:
            failures[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        write(record, folder, fields)

    monkeypatch.setattr(ObjectFile, "write", full)
    told(["toy-a1", "--yes"], capsys)
    assert failures == [0]
    assert not (runs.root / "runs/toy-a1").exists()
    assert not only_of("weak", runs)
    assert not any((runs.root / "trash").iterdir())
    assert verified(capsys)


def test_a_workspace_that_can_only_be_read_is_named(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    message = "this workspace cannot be written to"
    assert message in said(["toy-a1", "--yes"], capsys, code=2)
    for arguments in (["gc", "--yes"], ["rename", "toy-a1", "x"]):
        assert call(["runs", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_what_is_in_the_trash_is_not_verified(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    left = runs.root / "trash/x/cache/judge"
    left.mkdir(parents=True)
    (left / "replies.sqlite.json").write_text("{}")
    (left / "other.sqlite").write_text("no database")
    assert verified(capsys)


def test_runs_are_chosen_by_state_spec_and_age(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.run("toy-c3", [], status="failed")
    runs.run("odd-d4", [], spec="odd", status="failed")
    assert told(["--state", "failed", "--spec", "toy"], capsys)["runs"] == ["toy-c3"]
    assert told(["--spec", "fam"], capsys)["runs"] == ["fam-dpo-d4", "fam-kto-d4"]
    with owned(runs.root / "runs/toy-a1"):
        text = said(["--spec", "toy"], capsys)
    assert "left out, because they are running: toy-a1" in text
    assert "toy-b2" in text
    assert told(["--state", "failed", "--older-than", "1"], capsys)["runs"] == []
    assert "no run fits" in said(["--state", "failed", "--older-than", "1", "--yes"], capsys)
    assert told(["--state", "failed", "--yes"], capsys)["runs"] == ["odd-d4", "toy-c3"]
    assert not (runs.root / "runs/odd-d4").exists()


def test_names_and_a_choice_are_not_mixed_and_one_is_required(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "expected either names of runs, or a choice with --state, --spec or --older-than"
    assert message in said([], capsys, code=2)
    assert message in said(["toy-a1", "--state", "done", "--yes"], capsys, code=2)
    assert "Did you mean 'toy'?" in said(["--spec", "toi", "--yes"], capsys, code=2)
    assert (runs.root / "runs/toy-a1").is_dir()
