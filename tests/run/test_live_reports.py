"""Pages of a run that is in progress: when they are written, by which process, and the last one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from halo_core.errors import UserError
from halo_core.events import EventLog
from halo_core.run.live_reports import LiveReports
from halo_core.run.report_writer import keep_written, live_reports
from halo_core.tracker import Report

SOURCE = '''
import os
import time
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from halo_core import Report, Stage, StageResult


class Page(Report):
    """Notes the process and the number of events of each call."""

    live: ClassVar[bool] = True

    def write(self, run: Path) -> Path:
        page = run / "page.txt"
        events = (run / "events.jsonl").read_text().count("\\n")
        with page.open("a") as file:
            file.write(f"{os.getpid()} {events}\\n")
        return page


class AtTheEnd(Page):
    """Is not written while the run is in progress."""

    live: ClassVar[bool] = False


class Waits(Stage):
    """Ends, or fails, when another process has written the page."""

    produces: ClassVar[str] = "model"
    fails: bool = Field(default=False, description="Whether it fails.")

    def run(self, context) -> StageResult:
        (context.folder / "model").mkdir(exist_ok=True)
        (context.folder / "model" / "weights").write_text("none")
        (record,) = (context.folder.parent.parent / "runs").glob("*/run.json")
        run = record.parent
        until = time.monotonic() + 120
        while not (run / "page.txt").exists():
            if time.monotonic() > until:
                raise TimeoutError("nobody has written the page")
            time.sleep(0.05)
        if self.fails:
            raise ValueError("as the spec asks")
        return StageResult({"n": 1.0}, "done")


class Ends(Waits):
    """Ends at once."""

    def run(self, context) -> StageResult:
        (context.folder / "model").mkdir(exist_ok=True)
        (context.folder / "model" / "weights").write_text("none")
        return StageResult({"n": 1.0}, "done")
'''
SPEC = """\
name: live
model: {{hub: someone/small, revision: main}}
stages:
  only: {{use: "file:{plugin}:Waits", fails: {fails}}}
reports: [{{use: "file:{plugin}:Page"}}, {{use: "file:{plugin}:AtTheEnd"}}]
"""


class Counted(Report):
    """Counts its calls."""

    live: ClassVar[bool] = True
    calls: ClassVar[list[int]] = []

    def write(self, run: Path) -> Path:
        """Writes a file."""
        self.calls.append(1)
        path = run / "page.txt"
        path.write_text("whole")
        return path


class Fails(Counted):
    """Cannot be written."""

    def write(self, run: Path) -> Path:
        """Raises an error."""
        raise UserError("no page")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "live_plugin.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.run.live_reports.FIRST_S", 0.0)
    for name in ("LAST_S", "END_S"):  # The writer may be slow on a busy machine.
        monkeypatch.setattr(f"halo_core.run.live_reports.{name}", 120.0)


def written(path: Path) -> list[tuple[int, int]]:
    lines = (line.split() for line in path.read_text().splitlines())
    return [(int(process), int(events)) for process, events in lines]


def wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def calls_after(run: Path, steps: Iterator[str], times: Iterator[float]) -> list[int]:
    """Returns the number of pages after each step, which appends an event of this type."""
    log, counts = EventLog(run / "events.jsonl"), []
    Counted.calls.clear()

    def ended(seconds: float) -> bool:
        counts.append(len(Counted.calls))
        step = next(steps, None)
        if step == "metrics":
            log.append("metrics", stage="a", step=1, metrics={"x": 1.0}, examples=1)
        elif step == "stage-ended":
            log.append("stage-ended", stage="a")
        return step is None

    keep_written(run, [Fails(), Counted()], ended, every_s=60, now=lambda: next(times))
    return [*counts, len(Counted.calls)]


def test_a_page_is_written_once_a_minute_at_the_end_of_a_stage_and_at_the_end(
    tmp_path: Path,
) -> None:
    steps = iter(["metrics", "metrics", "stage-ended", "nothing new", "metrics", "metrics"])
    # The clock is read when something is new, and after each page.
    times = iter([0.0, 0.0, 30.0, 31.0, 50.0, 95.0, 95.0, 99.0])
    assert calls_after(tmp_path, steps, times) == [0, 1, 1, 2, 2, 2, 3, 4]


def test_only_reports_that_can_be_written_early_are(tmp_path: Path, plugin: Path) -> None:
    spec = SPEC.format(plugin=plugin, fails="false")
    (tmp_path / "spec.resolved.yaml").write_text(spec)
    assert [type(report).__name__ for report in live_reports(tmp_path)] == ["Page"]


@pytest.mark.slow
def test_pages_of_a_run_in_progress_come_from_another_process(
    halo: Callable[..., Any], plugin: Path, tmp_path: Path, at_once: None
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(plugin=plugin, fails="false"))
    done = halo("run", str(spec), "--json")
    assert done.code == 0, done.err
    calls = written(Path(done.json["folder"]) / "page.txt")
    processes = [process for process, _ in calls]
    assert processes[0] != os.getpid()
    # At the end, the controller writes both reports.
    assert processes[-2:] == [os.getpid(), os.getpid()]


@pytest.mark.slow
def test_a_run_that_fails_has_a_last_page_with_its_last_event(
    halo: Callable[..., Any], plugin: Path, tmp_path: Path, at_once: None
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(plugin=plugin, fails="true"))
    assert halo("run", str(spec)).code != 0
    (run,) = (path.parent for path in (tmp_path / "workspace" / "runs").glob("*/run.json"))
    calls = written(run / "page.txt")
    assert os.getpid() not in [process for process, _ in calls]
    assert calls[-1][1] == (run / "events.jsonl").read_text().count("\n")


def test_a_short_run_starts_no_writer(
    halo: Callable[..., Any], plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(LiveReports, "_start", lambda self: started.append(self))
    monkeypatch.setattr("halo_core.run.live_reports.FIRST_S", 600.0)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(plugin=plugin, fails="false").replace("Waits", "Ends"))
    done = halo("run", str(spec))
    assert done.code == 0, done.err
    assert started == []


@pytest.mark.slow
def test_a_writer_whose_controller_is_killed_writes_a_last_page_and_ends(
    tmp_path: Path, plugin: Path
) -> None:
    run = tmp_path / "runs" / "killed"
    run.mkdir(parents=True)
    (run / "spec.resolved.yaml").write_text(SPEC.format(plugin=plugin, fails="false"))
    EventLog(run / "events.jsonl").append("run-started", name="killed", run="killed")
    code = (
        "import os, subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'halo_core.run.report_writer', sys.argv[1]],\n"
        "    stdin=subprocess.PIPE)\n"
        "print(p.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "os._exit(9)\n"
    )
    controller = subprocess.Popen(
        [sys.executable, "-c", code, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert controller.stdin is not None
    assert controller.stdout is not None
    writer = int(controller.stdout.readline())
    page = run / "page.txt"
    wait_for(lambda: page.exists() and written(page))
    assert len(written(page)) == 1
    controller.stdin.write("\n")
    controller.stdin.close()
    controller.wait()
    wait_for(lambda: len(written(page)) >= 2)
    assert [process for process, _ in written(page)] == [writer, writer]
    controller.stdout.close()
