"""The board measures the pace of work, asks for facts rarely, and passes on other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.display.board import FACTS_EVERY_S, Bar, Board
from halo_core.display.relay import RELAY, print_lines, relay_of, relayed
from halo_core.display.view import Later, View

Clock = Callable[[float], None]


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clock of the display forward."""
    now = [1_000_000.0]
    monkeypatch.setattr("halo_core.display.board.time.time", lambda: now[0])

    def tick(seconds: float) -> None:
        now[0] += seconds

    return tick


class Nothing:
    """A surface that remembers its last views."""

    def __init__(self) -> None:
        self.ended: list[View] = []

    def show(self, views: list[View]) -> None:
        pass

    def stage_began(self, view: View) -> None:
        pass

    def work_ended(self, view: View) -> None:
        self.ended.append(view)

    def stage_failed(self, view: View) -> None:
        self.ended.append(view)

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_the_first_advance_does_not_count_for_the_pace(tick: Clock) -> None:
    bar = Bar("kto", 100, 0, "step")
    tick(30)  # the first step compiles
    bar.advance()
    assert bar.view().left(time.time()) is None
    for _ in range(4):
        tick(2)
        bar.advance()
    assert bar.pace == 2.0
    assert bar.view().left(bar.view().advanced) == 95 * 2.0
    # Time passes while a step takes its time.
    assert bar.view().left(bar.view().advanced + 5) == 95 * 2.0 - 5


def test_the_pace_is_that_of_the_last_minute(tick: Clock) -> None:
    bar = Bar("kto", 1000, 0, "step")
    for seconds in [*[1.0] * 100, *[3.0] * 40]:
        tick(seconds)
        bar.advance()
    assert bar.pace == pytest.approx(3.0)


def test_steps_of_several_minutes_have_a_pace_too(tick: Clock) -> None:
    bar = Bar("kto", 10, 0, "step")
    for _ in range(3):
        tick(200)
        bar.advance()
    assert bar.pace == 200


def test_facts_are_asked_for_rarely_and_once_at_the_end(tick: Clock) -> None:
    asked: list[int] = []
    surface = Nothing()
    board = Board(surface)
    with board.stage(1, 1, "kto", "train"), board.bar("kto", 1000, unit="step") as bar:
        for step in range(1000):
            tick(FACTS_EVERY_S / 100)
            bar.advance(facts=lambda step=step: asked.append(step) or {"loss": str(step)})
    assert len(asked) <= 12
    assert asked[-1] == 999
    (view,) = surface.ended
    assert view.work is not None
    assert view.work.facts == {"loss": "999"}


def test_a_plugin_may_give_facts_by_name_as_before() -> None:
    board = Board(Nothing())
    with board.bar("learning", 2) as bar:
        bar.advance(loss="1.0", tok_s="7")
        view = board.view()
    assert view.work is not None
    assert (view.work.done, view.work.facts) == (1, {"loss": "1.0", "tok_s": "7"})


def test_advancing_costs_a_few_microseconds() -> None:
    bar = Bar("kto", 100_000, 0, "step")
    started = time.process_time()
    for _ in range(20_000):
        bar.advance(facts={"loss": "0.5"})
    assert (time.process_time() - started) / 20_000 < 50e-6


def test_phases_are_shown_one_inside_another_and_facts_stay_after_the_work() -> None:
    board = Board(Nothing())
    with board.stage(2, 3, "kto", "train"):
        with board.phase("loading the model"), board.phase("reading its weights", 7, unit="file"):
            inner = board.view().phase
        with board.bar("kto", 1) as bar:
            bar.advance(loss="0.5")
        with board.phase("saving the model"):
            saving = board.view()
    assert inner is not None
    assert (inner.label, inner.total) == ("reading its weights", 7)
    assert saving.work is not None
    assert saving.phase is not None
    assert (saving.work.facts, saving.phase.label) == ({"loss": "0.5"}, "saving the model")
    assert board.view() == View()


def test_of_two_equal_phases_the_inner_one_ends_first(tick: Clock) -> None:
    board = Board(Nothing())
    with board.phase("reading", unit="row") as outer:
        with board.phase("reading", unit="row"):
            pass
        outer.advance(2)
        shown = board.view().phase
    assert shown is not None
    assert shown.done == 2
    assert board.view().phase is None


def test_the_time_of_later_stages_is_asked_with_that_of_this_one(tick: Clock) -> None:
    board = Board(Nothing())
    told: list[float | None] = []

    def later(seconds: float | None) -> Later:
        told.append(seconds)
        return Later(5.0, 1)

    board.later = later
    with board.stage(1, 3, "kto", "train"):
        tick(10)
        with board.bar("kto", 10) as bar:
            for _ in range(5):
                tick(4)
                bar.advance()
            assert board.view().later == Later(5.0, 1)
    assert told[0] is None
    assert told[1] == 10 + 5 * 4 + 5 * 4


def test_another_process_sends_what_it_does(tmp_path: Path) -> None:
    with relayed() as (environment, view):
        assert view() is None
        surface = relay_of(environment)
        assert surface is not None
        board = Board(surface)
        with board.bar("kto", 4, unit="step") as bar:
            bar.advance(loss="0.5")
            surface.show([board.view()])
            seen = view()
            # A killed process may leave half a file. Then the last view stays.
            Path(environment[RELAY]).write_text('[{"title": ')
            assert view() == seen
    assert seen is not None
    assert seen.work is not None
    assert (seen.work.done, seen.work.facts) == (1, {"loss": "0.5"})
    assert not Path(environment[RELAY]).parent.exists()
    surface.show([View("late")])  # its starter is gone; the work continues
    assert relay_of({}) is None


def test_lines_of_another_process_are_whole_and_a_bar_is_one_line() -> None:
    code = r"import sys; sys.stdout.write('a\n  1%\r 99%\rdone\n\n\xff'); sys.stdout.flush()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said: list[str] = []
    printing = print_lines(process.stdout, said.append)
    assert process.wait() == 0
    printing.finish()
    assert said == ["a", "done", "\xff"]


def test_the_last_lines_of_a_process_are_printed_although_its_child_holds_the_output_open() -> None:
    code = (
        "import os, sys, time\n"
        "child = os.fork()\n"
        "if not child: time.sleep(600)\n"
        "print('x' * 50_000)\n"
        "print(child, end='', flush=True)\n"
        "os._exit(0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first, said = threading.Event(), list[str]()

    def say(line: str) -> None:
        assert first.wait(60)  # Nothing is printed before the process has ended.
        said.append(line)

    printing = print_lines(process.stdout, say)
    assert process.wait() == 0
    first.set()
    printing.finish()
    os.kill(int(said[1]), signal.SIGKILL)
    assert (len(said), said[0]) == (2, "x" * 50_000)


def test_the_file_of_a_view_is_json() -> None:
    with relayed() as (environment, _):
        surface = relay_of(environment)
        assert surface is not None
        surface.show([View("a", 1, 2, "b", "c", 3.0)])
        (tree,) = json.loads(Path(environment[RELAY]).read_text())
        assert (tree["place"], tree["stages"]) == (1, 2)
        assert os.listdir(Path(environment[RELAY]).parent) == ["view.json"]
