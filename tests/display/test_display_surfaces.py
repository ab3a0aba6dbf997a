"""The display on a terminal, without colours, without a terminal, with a broken tracker."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core import printing
from halo_core.cli import call
from halo_core.display import board as board_module
from halo_core.display.board import Board
from halo_core.display.surfaces import (
    LINE_EVERY_S,
    DrawnSurface,
    LineSurface,
    surface_for_stderr,
)
from halo_core.display.view import BarView, View

NOW = 1_000_000.0


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns; `monkeypatch.setattr` makes it stderr inside the test."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("halo_core.display.surfaces.time.time", lambda: NOW)
    return Terminal()


def view(done: int = 47, **facts: str) -> View:
    work = BarView("kto", 100, done, "step", facts, NOW - 60, NOW, 1.0)
    return View("", 7, 10, "kto", "train", NOW - 60, work)


def shown(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    surface = DrawnSurface()
    surface.open()
    surface.show([view(loss="0.432")])
    printing.say("train: 12 rows \x1b]52;c;Y2xpcA==\x07", err=True)
    surface.show([view(48, loss="0.431")])
    surface.close()
    monkeypatch.setattr("sys.stderr", sys.__stderr__)


def test_a_terminal_gets_one_display_that_is_redrawn_below_the_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(terminal, monkeypatch)
    text = terminal.getvalue()
    assert "\x1b[32m" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "━━──" in plain
    for fact in (
        "stage 7 of 10, kto (train)",
        "step 48 of 100",
        "loss 0.431",
        "left of the stage about 52 s",
    ):
        assert fact in plain
    # Escape sequences of data are text, and the display is gone at the end.
    assert r"train: 12 rows \x1b]52;c;Y2xpcA==\x07" in plain
    assert "\x1b]" not in text
    assert text.rstrip("\r").endswith("\x1b[2K")
    # A killed process could not show a hidden cursor again.
    assert "\x1b[?25l" not in text


def test_the_last_facts_of_a_stage_that_failed_stay_on_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(board: Board) -> None:
        with (
            board.shown(),
            board.stage(2, 3, "kto", "train"),
            board.bar("kto", 100, 46, unit="step") as bar,
        ):
            bar.advance(loss="0.432")
            raise ZeroDivisionError

    monkeypatch.setattr("sys.stderr", terminal)
    with pytest.raises(ZeroDivisionError):
        fail(Board(DrawnSurface()))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "stage 2 of 3, kto: step 47 of 100, loss 0.432\n" in text


def test_no_color_means_no_colours_but_the_same_facts(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown(terminal, monkeypatch)
    codes = set(re.findall(r"\x1b\[[0-9;]*m", terminal.getvalue()))
    assert codes <= {"\x1b[1m", "\x1b[0m"}
    assert "loss 0.431" in terminal.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    assert isinstance(surface_for_stderr(), DrawnSurface)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(surface_for_stderr(), LineSurface)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(surface_for_stderr(), LineSurface)


def test_without_a_terminal_lines_have_the_same_facts_at_a_bounded_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("halo_core.display.surfaces.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("halo_core.display.surfaces.time.time", lambda: NOW)
    surface = LineSurface()
    surface.stage_began(view(0))
    for half_second in range(200):
        clock[0] = half_second / 2
        surface.show([view(half_second, loss=f"{half_second}")])
    surface.work_ended(view(100, loss="0.432"))
    said = capsys.readouterr().err.splitlines()
    times = "stage running 1 min 00 s, left of the stage about {}, left of the run about {}"
    assert said == [
        "stage 7 of 10, kto (train)",
        *(
            f"stage 7 of 10, kto: step {step} of 100, loss {step}, {times.format(left, left)}"
            for step, left in ((1, "1 min 39 s"), (61, "39 s"), (121, "0 s"), (181, "0 s"))
        ),
        "stage 7 of 10, kto: step 100 of 100, loss 0.432",
    ]
    assert LINE_EVERY_S == 30


def test_what_takes_long_before_the_first_step_is_told_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("halo_core.display.surfaces.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("halo_core.display.surfaces.time.time", lambda: NOW)
    surface = LineSurface()
    loading = BarView("loading the model", None, 0, "", {}, NOW - 6, NOW, None)
    waiting = View("", 1, 2, "sft", "train", NOW - 6, None, loading)
    surface.show([waiting])
    assert capsys.readouterr().err == ""
    clock[0] = 6.0
    surface.show([waiting])
    assert capsys.readouterr().err == (
        "stage 1 of 2, sft: loading the model: for 6 s, stage running 6 s, "
        "left of the stage unknown, left of the run unknown\n"
    )


def test_a_board_looks_at_its_surface_at_most_twice_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(LineSurface):
        def __init__(self) -> None:
            super().__init__()
            self.looks, self.third = 0, threading.Event()

        def show(self, views: list[View]) -> None:
            self.looks += 1
            if self.looks == 3:
                self.third.set()

    assert board_module.EVERY_S == 0.5
    monkeypatch.setattr(board_module, "EVERY_S", 600.0)
    surface = Counting()
    with Board(surface).shown() as board, board.bar("kto", 10**9) as bar:
        for _ in range(10_000):
            bar.advance()
    assert surface.looks == 1
    monkeypatch.setattr(board_module, "EVERY_S", 0.01)
    again = Counting()
    with Board(again).shown():
        assert again.third.wait(60)


def plain(terminal: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def write(terminal: Terminal, text: str, told: Path) -> int:
    """Writes on a terminal, and makes a file as soon as it shows the end of the server."""
    count = Terminal.write(terminal, text)
    if not told.exists() and "the server was killed" in plain(terminal):
        told.touch()
    return count


def test_the_display_goes_on_when_a_tracker_dies(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("halo_core.run.controller.CLOSE_DEADLINE_S", 0.2)
    monkeypatch.setattr("halo_core.display.surfaces.time.time", time.time)
    server = tmp_path / "server.py"
    server.write_text(
        "from halo_core import Tracker, TrackerSession\n\n\n"
        "class Session(TrackerSession):\n"
        "    def handle(self, events):\n"
        "        raise ConnectionError('the server was killed')\n\n"
        "    def describe(self):\n"
        "        return {'label': 'Server'}\n\n\n"
        "class Server(Tracker):\n"
        "    def open(self, run, workspace):\n"
        "        return Session()\n"
    )
    spec_file.write_text(spec_file.read_text() + f'tracking: [{{use: "file:{server}:Server"}}]\n')
    told = tmp_path / "told"
    monkeypatch.setattr(terminal, "write", lambda text: write(terminal, text, told))
    monkeypatch.setattr("sys.stderr", terminal)
    # The first stage works until the tracker has failed.
    assert call(["run", str(spec_file), "--set", f"stages.learn.until={told}"]) == 0
    text = plain(terminal)
    assert "the server was killed" in text
    assert "stage 3 of 3" in text
    assert re.search(r"halo sync \S+ sends the rest", text)


@pytest.fixture
def run(halo: Callable[..., Any], spec_file: Path) -> Callable[[], Any]:
    return lambda: halo("run", str(spec_file), "--json")


def test_a_run_without_a_terminal_tells_each_stage_with_its_place(run: Callable[[], Any]) -> None:
    done = run()
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if line.startswith("stage ")]
    assert [line.partition(": done in ")[0] for line in told if ": done in " in line] == [
        f"stage {place} of 3, {stage['id']}" for place, stage in enumerate(done.json["stages"], 1)
    ]
    assert "stage 1 of 3, learn: 2 of 2, loss 1.0" in told
    again = run()
    assert "stage 3 of 3, " in again.err
    assert again.err.count(": in the store") == 3
