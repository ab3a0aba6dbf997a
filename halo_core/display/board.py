"""The board of a run, with its current stage and bars. A surface shows it in its own thread.

The thread that works only notes what changed. Texts for people are made and drawn elsewhere, twice
a second, so a step costs the same with a display and without one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from halo_core import printing, watched
from halo_core.display.view import BarView, Later, View
from halo_core.progress import Facts

EVERY_S = 0.5
"""Seconds between two looks of the surface."""
FACTS_EVERY_S = 0.25
"""Seconds between two calls of a bar's facts."""
PACE_OVER_S = 60.0
"""Seconds over which the pace of a bar is measured, or over two advances if they take longer."""
MARK_EVERY_S = 1.0
SURE_S = 2.0
"""Seconds over which a pace must be measured before a remaining time is given."""


class Surface(Protocol):
    """A way to show a board."""

    def show(self, views: list[View]) -> None:
        """Shows the runs at this moment; called twice a second, and when something ended."""
        ...

    def stage_began(self, view: View) -> None:
        """Is called when a stage began."""
        ...

    def work_ended(self, view: View) -> None:
        """Is called when the bar of a stage's work ended."""
        ...

    def stage_failed(self, view: View) -> None:
        """Is called when a stage ended with an error or was stopped."""
        ...

    def open(self) -> None:
        """Begins to show."""
        ...

    def close(self) -> None:
        """Ends, and leaves nothing that moves."""
        ...


@dataclass(eq=False)
class Bar:
    """A bar that advances, with the pace that it is measured to have."""

    label: str
    total: int | None
    done: int
    unit: str
    began: float = field(default_factory=lambda: time.time())
    facts: dict[str, str] = field(default_factory=dict)
    _ask: Facts | None = None
    _asked: float = 0.0
    _advanced: float = field(default_factory=lambda: time.time())
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def advance(self, amount: int = 1, *, facts: Facts | None = None, **fields: str) -> None:
        """Advances, as `halo_core.progress.ProgressBar.advance` says."""
        now = time.time()
        self.done += amount
        self._advanced = now
        if fields:
            self.facts = {**self.facts, **fields}
        self._ask = facts or self._ask
        if now - self._asked >= FACTS_EVERY_S:
            self.ask(now)
        # The first one has the time of getting ready, so measuring begins after it.
        if not self._marks or now - self._marks[-1][0] >= MARK_EVERY_S:
            self._marks.append((now, self.done))
            while len(self._marks) > 2 and now - self._marks[1][0] > PACE_OVER_S:
                self._marks.popleft()

    def ask(self, now: float) -> None:
        """Asks for the facts of now."""
        self._asked = now
        if self._ask is not None:
            # A new mapping, because the thread that draws may be reading the old one.
            told = self._ask() if callable(self._ask) else self._ask
            self.facts = {**self.facts, **told}

    @property
    def pace(self) -> float | None:
        """Measured seconds per unit; None before they are known."""
        marks = list(self._marks)
        if len(marks) < 2:
            return None
        (first, before), (last, done) = marks[0], marks[-1]
        if last - first < SURE_S or done <= before:
            return None
        return (last - first) / (done - before)

    def view(self) -> BarView:
        """Returns it as it is now."""
        return BarView(
            self.label,
            self.total,
            self.done,
            self.unit,
            self.facts,
            self.began,
            self._advanced,
            self.pace,
        )


class Board:
    """The current stage and bars of a run. It is the `Progress` of the stages.

    Args:
        surface: Shows it.

    Attributes:
        title: Text before the stage, as in ``cell 2 of 6, kto``.
        later: Returns the time of later stages, given the seconds of the current stage in all if
            they are known.
        beside: Returns the views of other processes, which are shown instead of this one's.
    """

    def __init__(self, surface: Surface) -> None:
        self.title = ""
        self.later: Callable[[float | None], Later] = _nothing_later
        self.beside: Callable[[], list[View]] | None = None
        self._surface = surface
        self._stage = View()
        self._work: Bar | BarView | None = None
        self._phases: list[Bar | BarView] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[Board]:
        """Shows the board during a `with` statement."""
        self._closing.clear()
        self._surface.open()
        drawing = threading.Thread(target=self._draw, name="display", daemon=True)
        drawing.start()
        try:
            yield self
        finally:
            self._closing.set()
            drawing.join()
            self._surface.close()

    def _draw(self) -> None:
        while True:
            self._surface.show(self.views())
            if self._closing.wait(EVERY_S):
                return

    def views(self) -> list[View]:
        """Returns what to show now."""
        if self.beside is not None:
            return self.beside()
        return [self.view()]

    def view(self) -> View:
        """Returns what this run is doing now."""
        with self._lock:
            stage = self._stage
            work = _view(self._work)
            phase = _view(self._phases[-1]) if self._phases else None
        left = None if work is None else work.left(time.time())
        whole = None if left is None or work is None else work.advanced - stage.began + left
        later = self.later(whole) if stage.place else Later()
        return replace(stage, title=self.title, work=work, phase=phase, later=later)

    @contextmanager
    def stage(self, place: int, stages: int, id_: str, use: str) -> Iterator[None]:
        """Shows a stage during a `with` statement.

        Args:
            place: Its number, from 1.
            stages: Number of stages.
            id_: Its id.
            use: Name of its component.
        """
        with self._lock:
            self._stage = View("", place, stages, id_, use, time.time())
            self._note()
        self._surface.stage_began(self.view())
        try:
            yield
        except BaseException:
            self._surface.stage_failed(self.view())
            raise
        finally:
            with self._lock:
                self._stage, self._work, self._phases = View(), None, []
                self._note()

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[Bar]:
        """Shows the bar of the work; see `halo_core.progress.Progress.bar`."""
        bar = Bar(label, total, done, unit)
        with self._lock:
            self._work = bar
        try:
            yield bar
        finally:
            bar.ask(time.time())
            self._surface.work_ended(self.view())
            with self._lock:
                # What was measured stays visible while the stage saves its results.
                self._work = bar.view()

    @contextmanager
    def phase(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[Bar]:
        """Shows the bar of a phase; see `halo_core.progress.Progress.phase`."""
        bar = Bar(label, total, 0, unit)
        with self._lock:
            self._phases.append(bar)
            self._note()
        try:
            yield bar
        finally:
            with self._lock:
                if bar in self._phases:
                    self._phases.remove(bar)
                self._note()

    def _note(self) -> None:
        """Notes for the watcher of this process what it is doing."""
        stage, title = self._stage, f"{self.title}: " if self.title else ""
        phase = f"{title}{self._phases[-1].label}" if self._phases else ""
        if stage.place:
            running = f"{title}stage {stage.place} of {stage.stages}, {stage.stage} ({stage.use})"
            what = f"{running}, was running{f' ({self._phases[-1].label})' if phase else ''}"
            watched.note(what, f"stages.{stage.stage}")
        else:
            watched.note(f"it was at this work: {phase}" if phase else "")

    def relay(self, view: View | None) -> None:
        """Shows the bars of another process, which does the work of the stage."""
        if view is not None:
            with self._lock:
                self._work, self._phases = view.work, [] if view.phase is None else [view.phase]

    def relay_ended(self, view: View | None) -> None:
        """Shows the last bars of another process, which has ended."""
        self.relay(view)
        with self._lock:
            self._phases = []
        self._surface.work_ended(self.view())

    def say(self, line: str) -> None:
        """Prints a line for people on stderr, above the display."""
        printing.say(line, err=True)

    def warn(self, message: str) -> None:
        """Prints a warning on stderr, above the display."""
        printing.warn(message)

    def note(self, message: str) -> None:
        """Prints a fact on stderr, above the display."""
        self.say(f"  {message}")


def _view(bar: Bar | BarView | None) -> BarView | None:
    return bar.view() if isinstance(bar, Bar) else bar


def _nothing_later(seconds: float | None) -> Later:
    return Later()
