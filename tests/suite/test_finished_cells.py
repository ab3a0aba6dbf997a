"""A repeated suite skips exactly the cells with nothing left to do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call

pytestmark = pytest.mark.slow

PARTS = '''
from pydantic import Field

from halo_core.tracker import Report, Tracker, TrackerSession


class Session(TrackerSession):
    def __init__(self, run):
        self.seen = run / "seen.txt"

    def handle(self, events):
        with self.seen.open("a") as file:
            file.write("".join(event["type"] + "\\n" for event in events))

    def describe(self):
        return {}

    def close(self):
        pass


class Keeps(Tracker):
    """Keeps what it took in a file of the run."""

    level: int = Field(0, description="changes nothing")

    def open(self, run, workspace):
        return Session(run)

    def has_run(self, run, workspace):
        if (run / "broken").exists():
            raise ConnectionError("no answer")
        if (run / "leaves").exists():
            raise SystemExit(0)
        if (run / "unsure").exists():
            return None
        return (run / "seen.txt").exists()


class Page(Report):
    """Writes a page."""

    def write(self, run):
        path = run / "page.txt"
        path.write_text("page")
        return path
'''
Run = Callable[..., list[int]]


@pytest.fixture(scope="module")
def first(suite_text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a suite of two cells, and a copy of it after the first run."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    folder.mkdir()
    parts = folder / "parts.py"
    parts.write_text(PARTS)
    text = suite_text.replace(
        "reports: []\n",
        f'reports: [{{use: "file:{parts}:Page"}}]\ntracking: [{{use: "file:{parts}:Keeps"}}]\n',
    )
    begin = text.index("  size:\n    small:")
    text = text[:begin] + "  method:\n    weak:\n    strong: {stages.align.loss.beta: 0.9}\n"
    (folder / "suite.yaml").write_text(text)
    with contextlib.chdir(folder):
        assert call(["run", "suite.yaml", "--json"]) == 0
    return folder, shutil.copytree(folder, folder.with_name("after-the-first-run"))


@pytest.fixture
def project(first: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: that of a suite of two cells which has run once."""
    folder, kept = first
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(project: Path, capsys: Any) -> Run:
    """Runs the suite again; returns the number of times that each cell's run has started."""

    def go(*options: str) -> list[int]:
        capsys.readouterr()
        assert call(["run", "suite.yaml", *options, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [len(cell["stages"]) for cell in told["cells"]] == [4, 4]
        return [len(starts(folder)) for folder in cells(project)]

    return go


def cells(project: Path) -> list[Path]:
    return sorted(p.parent for p in (project / "workspace" / "runs").glob("*/events.jsonl"))


def starts(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "events.jsonl").open()]
    return [event["type"] for event in lines if event["type"] == "run-started"]


def test_finished_cells_are_passed_over_and_keep_their_numbers(
    run: Run, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [folder / "page.txt" for folder in cells(project)]
    written = [page.stat().st_mtime_ns for page in pages]
    assert run() == [1, 1]
    assert [page.stat().st_mtime_ns for page in pages] == written
    assert call(["run", "suite.yaml", "--json"]) == 0
    found = capsys.readouterr()
    first = json.loads(found.out)["cells"][0]
    assert first["status"] == "cached"
    assert first["stages"][0]["metrics"] == {"loss": 0.5, "rows": 4}
    assert found.err.count("everything is in the store, and reported") == 2


def test_a_stage_computed_again_brings_its_cells_back(run: Run) -> None:
    assert run("--again", "align") == [2, 2]
    assert run() == [2, 2]


def test_an_output_that_is_gone_brings_all_cells_that_need_it_back(run: Run, project: Path) -> None:
    (done,) = [
        path / "done.json"
        for path in (project / "workspace" / "stages").glob("Learn-*")
        if json.loads((path / "stage.json").read_text())["id"] == "base"
    ]
    done.unlink()
    assert run() == [2, 2]


@pytest.mark.parametrize(
    "lost", ["page.txt", "run.json", "spec.resolved.yaml", "spec.yaml", "seen.txt"]
)
def test_a_file_that_is_gone_brings_its_cell_back(run: Run, project: Path, lost: str) -> None:
    (cells(project)[0] / lost).unlink()
    assert run() == [2, 1]
    assert (cells(project)[0] / "page.txt").is_file()


def test_a_changed_byte_of_a_spec_brings_its_cell_back(run: Run, project: Path) -> None:
    path = cells(project)[0] / "spec.yaml"
    before = path.read_text()
    path.write_text("#" + before[1:])
    assert run() == [2, 1]
    assert path.read_text() == before


def test_a_page_older_than_a_stage_brings_its_cell_back(run: Run, project: Path) -> None:
    os.utime(cells(project)[1] / "page.txt", (1, 1))
    assert run() == [1, 2]


def test_events_that_a_tracker_did_not_take_bring_the_cell_back(run: Run, project: Path) -> None:
    path = cells(project)[0] / "tracking.json"
    record = json.loads(path.read_text())
    record["offsets"] = {name: offset - 1 for name, offset in record["offsets"].items()}
    path.write_text(json.dumps(record))
    assert run() == [2, 1]


@pytest.mark.parametrize("fault", ["broken", "leaves"])
def test_a_tracker_that_raises_when_asked_brings_its_cell_back(
    run: Run, project: Path, fault: str
) -> None:
    (cells(project)[0] / fault).touch()
    assert run() == [2, 1]


def test_a_tracker_that_cannot_know_is_believed_to_have_what_it_took(
    run: Run, project: Path
) -> None:
    (cells(project)[0] / "unsure").touch()
    assert run() == [1, 1]


def test_a_run_that_did_not_end_brings_its_cell_back(run: Run, project: Path) -> None:
    folder = cells(project)[0]
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:-1]))
    assert run() == [2, 1]


def test_an_upgraded_tracker_brings_all_cells_back(
    run: Run, halo_in: Callable[..., Any], project: Path
) -> None:
    (project / "parts.py").write_text(
        PARTS.replace("Keeps what it took", "Keeps what it was given")
    )
    for _ in range(2):  # In separate processes, because this one has the old file.
        assert halo_in(project, "run", "suite.yaml").code == 0
        assert [len(starts(folder)) for folder in cells(project)] == [2, 2]


def test_other_options_of_a_tracker_bring_all_cells_back(run: Run, project: Path) -> None:
    suite_file = project / "suite.yaml"
    text = suite_file.read_text().replace(':Keeps"', ':Keeps", level: 1')
    suite_file.write_text(text)
    assert run() == [2, 2]
    assert run() == [2, 2]
