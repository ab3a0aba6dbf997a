"""The run or suite that a text on the command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import PathError
from halo_core.workspace.layout import Target, find
from halo_core.workspace.records import (
    EVENTS,
    RUN,
    SUITE,
    TITLE,
    RunRecord,
    SuiteRecord,
    TitleRecord,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("toy-kto-1a", "toy-kto-2b", "hinge-3c"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / EVENTS.name).touch()
    SUITE.write(tmp_path / "suites" / "toy-9f", SuiteRecord(name="toy", axes={}, cells=[]))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("toy-kto-1a", "run", "runs/toy-kto-1a"),
        ("hin", "run", "runs/hinge-3c"),
        ("toy-9f", "suite", "suites/toy-9f"),
        ("toy", "suite", "suites/toy-9f"),  # the names of its cells' runs begin in the same way
    ],
)
def test_a_name_or_the_beginning_of_one_is_found(
    workspace: Path, text: str, kind: str, place: str
) -> None:
    found = find(text, workspace)
    assert (found.kind, found.folder) == (kind, workspace / place)
    assert found.workspace == workspace


def test_a_folder_is_found_without_its_workspace(workspace: Path) -> None:
    folder = workspace / "suites" / "toy-9f"
    assert find(str(folder), Path("elsewhere")) == Target("suite", folder)


def test_a_stage_is_what_stands_behind_the_last_colon(workspace: Path) -> None:
    folder = workspace / "runs" / "hinge-3c"
    assert find("hinge:win", workspace, stages=True) == Target("run", folder, "win")
    assert find(f"{folder}:win", workspace, stages=True) == Target("run", folder, "win")
    assert find("hinge", workspace, stages=True) == Target("run", folder, None)
    with pytest.raises(PathError, match=r"^.*: no run or suite 'hinge:win'\. Did you mean"):
        find("hinge:win", workspace)


def test_the_beginning_of_two_names_is_refused(workspace: Path) -> None:
    with pytest.raises(PathError, match=r"^'toy-kto' is the beginning of 2 names: toy-kto-1a, toy"):
        find("toy-kto", workspace)


@pytest.mark.parametrize("runs", [2, 1])
def test_a_suite_without_its_record_is_not_taken_for_one_of_its_runs(
    workspace: Path, runs: int
) -> None:
    (workspace / "suites" / "toy-9f" / SUITE.name).unlink()
    if runs == 1:
        (workspace / "runs" / "toy-kto-2b" / EVENTS.name).unlink()
    with pytest.raises(PathError, match=r"toy-9f: 'toy' is the .* without its suite\.json"):
        find("toy", workspace)
    assert find("toy-kto-1a", workspace).kind == "run"


def test_what_is_not_there_is_answered_with_the_nearest_and_what_there_is(workspace: Path) -> None:
    with pytest.raises(PathError) as caught:
        find("hing-3c", workspace)
    assert str(caught.value) == (
        f"{workspace}: no run or suite 'hing-3c'. Did you mean 'hinge-3c'? Existing: suite toy-9f, "
        "run hinge-3c, run toy-kto-1a, run toy-kto-2b"
    )
    (workspace / "empty").mkdir()
    with pytest.raises(PathError, match="no run or suite 'x'; the workspace has none yet"):
        find("x", workspace / "empty")
    with pytest.raises(PathError, match="no run or suite 'x', because there is no such folder; ex"):
        find("x", workspace / "nowhere")


def test_a_title_is_found_and_one_that_several_runs_have_is_refused(workspace: Path) -> None:
    for name, title in (
        ("toy-kto-1a", "kto-b0.1"),
        ("toy-kto-2b", "kto-b0.2"),
        ("hinge-3c", "h/a"),
    ):
        RUN.write(workspace / "runs" / name, RunRecord(name=name, title=title))
    assert find("kto-b0.2", workspace).folder.name == "toy-kto-2b"
    assert find("h/a", workspace).folder.name == "hinge-3c"
    RUN.write(workspace / "runs" / "hinge-3c", RunRecord(title="kto-b0.2"))
    with pytest.raises(PathError, match=r"'kto-b0.2' is the title of 2 runs; name one"):
        find("kto-b0.2", workspace)
    TITLE.write(workspace / "runs" / "hinge-3c", TitleRecord(title="kto-b0.2", note=""))
    assert find("kto-b0.2", workspace).folder.name == "hinge-3c"
    (workspace / "runs" / "toy-kto-1a" / RUN.name).write_text("{")
    with pytest.raises(PathError, match=r"^.*: no run or suite 'kto-b0.1'"):
        find("kto-b0.1", workspace)
