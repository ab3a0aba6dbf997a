"""`halo run`, `plan` and `validate` on a suite of light components."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli.run_suite import useful_jobs
from halo_core.errors import SpecErrors
from halo_core.spec.spec import load_spec
from halo_core.spec.suite import load_suite
from halo_core.stage import Forecast
from halo_core.suite.plan import make_suite_plan
from halo_core.suite.state import SuiteFolder
from halo_core.workspace.layout import open_workspace

Halo = Callable[..., Any]
ALL = ["small/none", "small/weak", "small/strong", "large/none", "large/weak", "large/strong"]

BOARD = """\
from halo_core import Tracker


class Board(Tracker):
    def open(self, run, workspace):
        raise NotImplementedError
"""
ONE_METHOD = "matrix.method={none: {stages.align: null}}"
SLOW_AND_APART = ["--set", ONE_METHOD, "--set", "stages.base.seconds=600"]


def cell_statuses(result_json: dict[str, Any]) -> list[str]:
    return [cell["status"] for cell in result_json["cells"]]


def stage_folders(workspace: Path, use: str = "Learn") -> list[Path]:
    return sorted((workspace / "stages").glob(f"{use}-*"))


def calls(workspace: Path) -> list[int]:
    """Returns the number of times that each output of `Learn` was computed."""
    files = [folder / "calls.txt" for folder in stage_folders(workspace)]
    return [len(file.read_text().splitlines()) for file in files]


def suite_json(workspace: Path) -> dict[str, Any]:
    (file,) = (workspace / "suites").glob("*/suite.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def change(suite_file: Path, old: str, new: str) -> None:
    text = suite_file.read_text()
    assert old in text
    suite_file.write_text(text.replace(old, new))


def test_what_trackers_of_a_suite_said_is_kept_until_they_say_it_again(
    suite_file: Path, workspace: Path
) -> None:
    board = suite_file.with_name("board.py")
    board.write_text(BOARD)
    name = f"file:{board}:Board"
    change(suite_file, "reports: []\n", f'reports: []\ntracking: [{{use: "{name}"}}]\n')
    plan = make_suite_plan(load_suite(suite_file, {}, only=()), open_workspace(str(workspace)))
    folder = SuiteFolder(plan)
    folder.prepare(pytest.fail)
    assert suite_json(workspace)["trackers"] == {}
    folder.describe({name: {"label": "Board"}, "gone": {"label": "Gone"}})
    folder.prepare(pytest.fail)
    assert suite_json(workspace)["trackers"] == {name: {"label": "Board"}}


def test_a_suite_runs_every_cell_and_computes_shared_stages_once(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    done = halo("run", str(suite_file), "--json")
    assert done.code == 0, done.err
    assert done.json["schema"] == 1
    assert done.json["suite"] == "tiny"
    assert [cell["id"] for cell in done.json["cells"]] == ALL
    assert cell_statuses(done.json) == ["computed"] * 6
    statuses = [[stage["status"] for stage in cell["stages"]] for cell in done.json["cells"]]
    assert statuses[:2] == [["computed"] * 3, ["cached", *["computed"] * 3]]
    assert calls(workspace) == [1] * 6
    assert done.json["trackers"] == {}


def test_the_suites_folder_says_how_each_cell_ended_and_where_its_run_is(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    done = halo("run", str(suite_file), "--json").json
    found = suite_json(workspace)
    assert Path(done["folder"]) == next((workspace / "suites").glob("tiny-*"))
    assert (Path(done["folder"]) / "suite.yaml").read_text() == suite_file.read_text()
    assert (found["schema"], found["name"]) == (1, "tiny")
    assert found["axes"] == {"size": ["small", "large"], "method": ["none", "weak", "strong"]}
    assert found["cells"][4] == {
        "id": "large/weak",
        "axes": {"size": "large", "method": "weak"},
        "run": f"runs/{done['cells'][4]['run']}",
        "status": "computed",
        "error": None,
    }
    record = json.loads((workspace / found["cells"][4]["run"] / "run.json").read_text())
    assert record["recipe"] == "tiny"
    assert record["suite"] == {
        "folder": f"suites/{Path(done['folder']).name}",
        "cell": "large/weak",
        "axes": {"size": "large", "method": "weak"},
    }
    assert record["command"][-2:] == ["--cell", "large/weak"]


def test_a_repeated_suite_computes_nothing(halo: Halo, suite_file: Path, workspace: Path) -> None:
    halo("run", str(suite_file))
    again = halo("run", str(suite_file), "--json").json
    assert cell_statuses(again) == ["cached"] * 6
    assert calls(workspace) == [1] * 6
    assert again["cells"][0]["stages"][0]["metrics"] == {"loss": 0.5, "rows": 4}


def test_a_failed_cell_does_not_stop_the_others(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    change(suite_file, "    weak:\n", "    weak: {stages.align.fail: user}\n")
    failed = halo("run", str(suite_file), "--json")
    assert failed.code == 2
    assert cell_statuses(failed.json) == [
        "computed",
        "failed",
        "computed",
        "computed",
        "failed",
        "computed",
    ]
    assert failed.json["error"]["message"] == "2 of 6 cells failed"
    assert [error["message"] for error in failed.json["errors"]] == [
        "small/weak: the model is too small",
        "large/weak: the model is too small",
    ]
    error = {
        "type": "UserError",
        "message": "the model is too small",
        "location": "model/config.json",
    }
    assert failed.json["cells"][1]["error"] == error
    assert suite_json(workspace)["cells"][1]["error"] == error
    assert suite_json(workspace)["cells"][1]["status"] == "failed"
    shown = halo("run", str(suite_file))
    # Not the sentence of the stage before, which succeeded.
    assert re.search(r"^small/weak +failed +the model is too small$", shown.out, re.MULTILINE)


def test_the_exit_code_is_that_of_the_worst_cell(halo: Halo, suite_file: Path) -> None:
    change(suite_file, "    weak:\n", "    weak: {stages.align.fail: user}\n")
    change(suite_file, "strong: {", "strong: {stages.align.fail: bug, ")
    failed = halo("run", str(suite_file))
    assert failed.code == 3
    assert "small/weak: the model is too small" in failed.err
    assert "made_components.py:" in failed.err
    assert "Traceback" not in failed.err


def test_a_shared_stage_that_failed_is_not_tried_again(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    change(suite_file, "small:\n", "small: {stages.base.fail: user}\n")
    failed = halo("run", str(suite_file), "--json")
    assert failed.code == 2
    assert cell_statuses(failed.json) == ["failed"] * 3 + ["computed"] * 3
    assert failed.json["cells"][1]["error"]["message"] == (
        "the stage 'base' failed in the cell small/none: the model is too small"
    )
    assert calls(workspace) == [1] * 4


def test_a_suite_that_was_fixed_goes_on(halo: Halo, suite_file: Path, workspace: Path) -> None:
    change(suite_file, "    weak:\n", "    weak: {stages.align.fail: user}\n")
    assert halo("run", str(suite_file)).code == 2
    done = halo("run", str(suite_file), "--set", "stages.align.fail=''", "--json")
    assert done.code == 0, done.err
    assert cell_statuses(done.json)[:2] == ["cached", "computed"]


def test_an_interrupt_stops_the_whole_suite_and_the_same_command_goes_on(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    change(suite_file, "    weak:\n", "    weak: {stages.align.fail: interrupt}\n")
    stopped = halo("run", str(suite_file), "--json")
    assert stopped.code == 130
    assert cell_statuses(stopped.json) == ["computed", "interrupted", *["pending"] * 4]
    assert stopped.json["error"]["type"] == "Interrupted"
    assert stopped.json["error"]["message"] == (
        "stopped; 1 of 6 cells are done, and started cells are kept. "
        "Run the same command again to continue"
    )
    assert [cell["status"] for cell in suite_json(workspace)["cells"]][:3] == [
        "computed",
        "interrupted",
        "pending",
    ]
    assert suite_json(workspace)["cells"][2]["run"] is None


def start(suite_file: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "halo_core.cli", "run", str(suite_file), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=suite_file.parent,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def ends(pid: int) -> bool:
    """Returns whether a process that is not a child has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_a_killed_suite_goes_on_where_it_was(halo: Halo, suite_file: Path, workspace: Path) -> None:
    slow = ["--set", "stages.align.seconds=600"]
    process = start(suite_file, *slow)
    wait_for(lambda: len(stage_folders(workspace)) == 2)
    process.kill()
    process.communicate()
    assert [c["status"] for c in suite_json(workspace)["cells"]] == ["computed", *["pending"] * 5]
    done = halo("run", str(suite_file), "--set", "stages.align.seconds=0", "--json")
    assert done.code == 0, done.err
    assert cell_statuses(done.json) == ["cached", *["computed"] * 5]


@pytest.mark.slow
def test_two_jobs_compute_a_shared_stage_once_and_their_lines_are_whole(
    suite_file: Path, workspace: Path
) -> None:
    other_waits = suite_file.with_name("other-waits")
    holds = ["--set", f"stages.base.until={other_waits}"]
    process = start(suite_file, "--jobs", "2", "--cell", "small/*", *holds, "--json")
    assert process.stderr is not None
    err = ""
    while "base: another process is computing it; waiting" not in err:
        err += (line := process.stderr.readline())
        assert line, err
    other_waits.touch()
    out, rest = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert cell_statuses(json.loads(out)) == ["computed"] * 3
    assert calls(workspace) == [1] * 3
    lines = [line for line in (err + rest).splitlines() if ": done in " in line]
    # One of them may find everything already computed by the others.
    assert lines
    assert {line.partition(" | ")[0] for line in lines} <= set(ALL[:3])
    assert [cell["status"] for cell in suite_json(workspace)["cells"]] == [
        *["computed"] * 3,
        *["pending"] * 3,
    ]


@pytest.mark.slow
def test_two_jobs_report_failures_and_go_on(halo: Halo, suite_file: Path) -> None:
    change(suite_file, "strong: {", "strong: {stages.align.fail: bug, ")
    failed = halo("run", str(suite_file), "--jobs", "2", "--cell", "small/*", "--json")
    assert failed.code == 3
    assert cell_statuses(failed.json) == ["computed", "computed", "failed"]
    assert "ZeroDivisionError" in failed.json["cells"][2]["error"]["message"]
    assert [stage["status"] for stage in failed.json["cells"][2]["stages"]][:2] == [
        "cached",
        "failed",
    ]


@pytest.mark.parametrize(
    ("jobs", "cells", "used", "words"),
    [
        (1, 6, 1, []),
        (6, 6, 6, []),
        (10**12, 6, 6, ["the suite has 6 cells, so that no more run at the same time"]),
        (1000, 900, 900, ["the suite has 900 cells", "share 2 cores"]),
        (9, 900, 9, ["share 2 cores"]),
    ],
)
def test_more_jobs_than_cells_or_cores_are_warned_about(
    jobs: int, cells: int, used: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    warnings: list[str] = []
    assert useful_jobs(jobs, cells, warnings.append) == used
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


@pytest.mark.slow
def test_ctrl_c_stops_all_jobs_and_their_state_is_kept(suite_file: Path, workspace: Path) -> None:
    process = start(suite_file, "--jobs", "2", *SLOW_AND_APART, "--json")
    wait_for(lambda: calls_begun(workspace) == 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert cell_statuses(json.loads(out)) == ["interrupted"] * 2
    assert {cell["error"]["type"] for cell in json.loads(out)["cells"]} == {"Interrupted"}


def calls_begun(workspace: Path) -> int:
    return sum((folder / "calls.txt").exists() for folder in stage_folders(workspace))


def below(pid: int) -> list[int]:
    """Returns the ids of all processes that a process has started, and that they have started."""
    children = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [
        each for child in map(int, " ".join(children).split()) for each in (child, *below(child))
    ]


@pytest.mark.slow
def test_jobs_end_when_the_suite_was_killed(suite_file: Path, workspace: Path) -> None:
    process = start(suite_file, "--jobs", "2", *SLOW_AND_APART)
    wait_for(lambda: calls_begun(workspace) == 2)
    if not Path(f"/proc/{process.pid}/task/{process.pid}/children").exists():
        pytest.skip("this system does not list a process's children")
    pids = below(process.pid)
    assert len(pids) >= 1 + 2  # at least what the watcher started, and two cells
    process.kill()
    process.communicate()
    wait_for(lambda: all(ends(pid) for pid in pids))


def test_again_computes_a_shared_stage_once_more_and_not_once_per_cell(
    halo: Halo, suite_file: Path, workspace: Path
) -> None:
    some = ["--cell", "small/*"]
    halo("run", str(suite_file), *some)
    again = halo("run", str(suite_file), *some, "--again", "base", "--json").json
    firsts = [cell["stages"][0]["status"] for cell in again["cells"]]
    assert firsts == ["computed", "cached", "cached"]
    assert calls(workspace) == [1] * 3
    later = halo("run", str(suite_file), *some, "--again", "align", "--json").json
    assert cell_statuses(later) == ["cached", "computed", "computed"]
    wrong = halo("run", str(suite_file), "--again", "algin")
    assert wrong.code == 2
    assert "no such stage; expected one of: base, answers, win, align" in wrong.err


def test_a_set_holds_in_every_cell(halo: Halo, suite_file: Path) -> None:
    done = halo("run", str(suite_file), "--set", "data.train.count=3", "--json").json
    assert {cell["stages"][0]["metrics"]["rows"] for cell in done["cells"]} == {3}


def test_options_of_suites_are_refused_for_a_spec(halo: Halo, spec_file: Path) -> None:
    for arguments in (["--cell", "a"], ["--jobs", "2"]):
        refused = halo("run", str(spec_file), *arguments)
        assert refused.code == 2
        assert refused.err.startswith(
            f"{arguments[0]}: this spec is not a suite: it has no matrix."
        )


def test_a_suite_is_no_spec_where_one_spec_is_wanted(suite_file: Path) -> None:
    with pytest.raises(SpecErrors, match=r"suite.yaml:19:1: matrix: a spec with a matrix is a su"):
        load_spec(suite_file)


def test_data_shows_the_sets_of_a_suite_each_content_once(halo: Halo, suite_file: Path) -> None:
    assert list(halo("data", str(suite_file), "--json").json["sets"]) == ["train", "test"]
    change(suite_file, "large: {", "large: {data.train.count: 3, ")
    sets = halo("data", str(suite_file), "--json").json["sets"]
    assert {name: held["rows"] for name, held in sets.items()} == {
        "train of small/none": 4,
        "train of large/none": 3,
        "test": 4,
    }
    one = halo("data", f"{suite_file}:train", "--show", "0").out
    assert [line for line in one.splitlines() if "rows" in line] == [
        "train of small/none: 4 rows of paired feedback, 4 prompts",
        "train of large/none: 3 rows of paired feedback, 3 prompts",
    ]
    wrong = halo("data", f"{suite_file}:trian")
    assert "unknown data set 'trian'. Did you mean 'train'? Known: test, train" in wrong.err


def test_validate_checks_every_cell(halo: Halo, suite_file: Path) -> None:
    done = halo("validate", str(suite_file))
    assert done.code == 0, done.err
    assert done.out == f"{suite_file} is valid: 6 cells. Next: halo plan {suite_file}\n"
    found = halo("validate", str(suite_file), "--json").json
    assert found["axes"]["size"] == ["small", "large"]
    assert found["cells"][5]["resolved"]["stages"]["align"]["loss"]["beta"] == 0.9
    one = halo("validate", str(suite_file), "--cell", "large/strong")
    assert one.out == f"{suite_file} is valid: 1 cell. Next: halo plan {suite_file}\n"
    both = halo("validate", str(suite_file), "--cell", "*/strong", "--resolved").out
    first, second = both.split("\n---\n")
    assert first.splitlines()[1] == "# small/strong"
    assert second.splitlines()[0] == "# large/strong"
    assert first.count("beta: 0.9") == second.count("beta: 0.9") == 1
    change(suite_file, "stages.align.loss.beta: 0.9", "stages.align.loss.beta: -1.0")
    wrong = halo("validate", str(suite_file))
    assert wrong.code == 2
    assert "(in 2 of 6 cells: small/strong, large/strong)" in wrong.err


def test_plan_counts_what_is_shared_done_and_to_do(halo: Halo, suite_file: Path) -> None:
    first = halo("plan", str(suite_file), "--json").json
    assert first["counts"] == {
        "cells": 6,
        "total": 22,
        "distinct": 18,
        "shared": 2,
        "done": 0,
        "to_do": 18,
        "started": 0,
    }
    halo("run", str(suite_file), "--cell", "small/none")
    text = halo("plan", str(suite_file)).out
    assert (
        "6 cells, 22 stages of which 18 are distinct (2 shared): 3 in the store, 15 to do" in text
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["small/none", "base", "answers", "win", "-"] in lines
    assert ["small/weak", "base", "align", "answers", "win"] in lines
    base = halo("plan", str(suite_file), "--json").json["stages"][0]
    assert base["cells"] == ALL[:3]
    assert base["state"] == "done"


def test_plan_of_a_suite_counts_the_disk_of_a_shared_stage_once(
    halo: Halo, suite_file: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 10**9
    said = Forecast(disk=10 * size, left=4 * size)
    monkeypatch.setattr("halo_core.run.forecast._forecast", lambda *_: said)
    monkeypatch.setattr("halo_core.run.forecast.free_bytes", lambda _: 70 * size)
    # 18 distinct stages: the last one has its 10 GB next to the 4 GB of each earlier one.
    first = halo("plan", str(suite_file), "--json").json["disk"]
    assert first == {"needed": (17 * 4 + 10) * size, "fits": False}
    told = halo("plan", str(suite_file))
    assert "18 to do; about 78 GB on the disk" in told.out
    assert f"warning: {workspace}: the stages need about 78.0 GB; 70.0 GB are free" in told.err
    halo("run", str(suite_file), "--cell", "small/none")
    now = halo("plan", str(suite_file), "--json").json["disk"]
    assert now == {"needed": (14 * 4 + 10) * size, "fits": True}


@pytest.mark.parametrize("content", ["", "{}", "\0\0\0"])
def test_a_damaged_record_of_a_suite_is_written_again_with_a_warning(
    halo: Halo, suite_file: Path, workspace: Path, content: str
) -> None:
    two = ("--cell", "small/none", "--cell", "small/weak")
    halo("run", str(suite_file), *two)
    (file,) = (workspace / "suites").glob("*/suite.json")
    before = [cell["status"] for cell in suite_json(workspace)["cells"]]
    file.write_text(content)
    again = halo("run", str(suite_file), *two)
    assert again.code == 0
    assert f"warning: {file}" in again.err
    assert "the state of all cells is written again" in again.err
    after = [cell["status"] for cell in suite_json(workspace)["cells"]]
    assert after == [{"computed": "cached"}.get(status, status) for status in before]
