"""Checks that a tracker keeps the numbers of the events: all steps, signs and digits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from halo_core.events import Event, EventLog, read_events
from halo_core.testing.component import expect
from halo_core.testing.made_runs import make_run
from halo_core.testing.trackers.tracker_effects import written_one_by_one
from halo_core.testing.trackers.tracker_events import write
from halo_core.testing.trackers.tracker_files import Written
from halo_core.testing.trackers.tracker_secrets import marked_environment
from halo_core.tracker import Tracker
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

STEPS = (*range(1, 13), 12)
"""The steps of the curve. After a resume, the last one comes twice."""

PROBED = (2, 5, 10)
"""Steps whose numbers are changed, one at a time."""

LONG_S = 1.5
"""Seconds of a session from which the rule is left out: it needs about twenty of them."""

SMALL = (2e-5, 7e-5)
"""Two learning rates. Four digits after the point do not tell them apart."""

LOSS, MARGIN, RATE = "train/loss", "rewards/margins", "train/lr"

Metrics = Mapping[str, float]
Change = Callable[[int, Metrics], Metrics]
"""Returns other metrics of the event at a position in the curve."""


def check_curves(tracker: Tracker, folder: Path) -> None:
    """Sends runs whose metrics differ in one respect only, each into an empty workspace.

    It does nothing if the same calls write other files each time, if the tracker writes none here,
    or if a session takes long. A tracker may keep some metrics, or the last numbers only. So each
    respect counts only if the tracker keeps such numbers.

    Args:
        tracker: The tracker.
        folder: An empty folder.

    Raises:
        AssertionError: When the files are the same with all signs reversed, with other fractions,
            with small numbers that differ, with the values of metrics exchanged, or at other steps;
            when some steps of a curve are left out, unless an option is a whole number; when the
            first of two values of one step stays; or when the tracker keeps the metric that comes
            first in an event, whichever it is.
    """
    with marked_environment(tracker):
        _Numbers(tracker, folder.resolve()).check()


class _Numbers:
    """The files that a tracker writes for runs with other numbers.

    Args:
        tracker: The tracker.
        folder: An empty folder.
    """

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self._tracker, self._root = tracker, folder / "workspaces" / "workspace"
        self._root.parent.mkdir(parents=True)
        self._run = make_run(Workspace(folder / "given"), "a")
        self._events = [event for event, _ in read_events(self._run / EVENTS.name)]
        self._written = cache(self._with)

    def _with(self, change: Change, by: int = 0, *, turned: bool = False) -> Written:
        """Returns the files for changed metrics, with a number added to each step."""
        file = self._run / EVENTS.name
        file.unlink()
        log, is_first = EventLog(file), True
        for event in self._events:
            if event["type"] != "metrics":
                write(log, event, {})
            elif is_first:
                self._write_curve(log, event, change, by, turned)
                is_first = False
        return written_one_by_one(self._tracker, self._run, self._root)

    def _write_curve(
        self, log: EventLog, event: Event, change: Change, by: int, turned: bool
    ) -> None:
        for place, step in enumerate(STEPS):
            usual = {LOSS: 2.7 - 0.013 * place, MARGIN: 0.31 * place + 0.2, RATE: SMALL[0]}
            numbers = dict(change(place, usual))
            if turned:
                numbers = dict(reversed(numbers.items()))
            write(log, event, {"step": step + by, "metrics": numbers})

    def check(self) -> None:
        """Raises if a respect is lost."""
        begun = time.monotonic()
        usual = self._written(_same)
        if not usual or time.monotonic() - begun > LONG_S or self._with(_same) != usual:
            return
        self._check_values(usual)
        self._check_first_metric(usual)
        kept = [step for step in PROBED if self._written(_raised_at(step - 1)) != usual]
        self._check_repeated(usual)
        if not kept:
            return  # It keeps the last numbers only.
        self._check_curve(usual, kept)

    def _check_values(self, usual: Written) -> None:
        for what, shows, change in (
            ("with all signs reversed", (_raised,), _turned),
            ("with other fractions", (_raised,), _other_fractions),
            ("with the values of two metrics exchanged", (_loss_raised, _margin_raised), _swapped),
        ):
            if all(self._written(shown) != usual for shown in shows):
                self._expect(
                    self._written(change) != usual,
                    f"{what}, although it keeps these metrics; expected each number with its sign, "
                    "its digits and its own name",
                )

    def _check_first_metric(self, usual: Written) -> None:
        turned = self._with(_same, turned=True)
        matters = [
            [
                self._with(change, turned=order) != before
                for change in (_loss_raised, _margin_raised, _rate_raised)
            ]
            for order, before in ((False, usual), (True, turned))
        ]
        single = [each.index(True) for each in matters if each.count(True) == 1]
        expect(
            len(single) < 2 or single[0] == single[1],
            self._tracker,
            "handle() keeps one metric of each event, and another one if the metrics come in the "
            "opposite order; expected it to keep all of them, or to choose by the name",
        )

    def _check_repeated(self, usual: Written) -> None:
        first, second = (self._written(_raised_at(len(STEPS) - back)) != usual for back in (2, 1))
        self._expect(
            second or not first,
            "if the second of two values of one step is another one, and not if the first is; "
            "after a resume, a step is computed again, and the later value counts",
        )

    def _check_curve(self, usual: Written, kept: Sequence[int]) -> None:
        values = [getattr(self._tracker, name) for name in type(self._tracker).model_fields]
        chosen = any(isinstance(v, int) and not isinstance(v, bool) and v > 1 for v in values)
        lost = [step for step in PROBED if step not in kept]
        self._expect(
            not lost or chosen,
            f"with another number at step {', '.join(map(str, lost))}, although it keeps that of "
            f"step {', '.join(map(str, kept))}; expected the whole curve. If it leaves out steps "
            "on purpose, let an option say how many",
        )
        self._expect(
            self._written(_same, 1000) != usual,
            "if each step is 1,000 higher, although it keeps the curve; use the step of the event",
        )
        if self._written(_rate_raised) != usual:
            self._expect(
                self._written(_small_changed) != usual,
                f"with {SMALL[1]:g} in place of {SMALL[0]:g}, as of a learning rate, although it "
                "keeps this metric; expected all digits of each number. Do not round, or round for "
                "the eye only",
            )

    def _expect(self, holds: bool, what: str) -> None:
        expect(holds, self._tracker, f"handle() writes the same {what}")


def _same(_: int, metrics: Metrics) -> Metrics:
    return metrics


def _raised(_: int, metrics: Metrics) -> Metrics:
    return {name: value + 7.5 for name, value in metrics.items()}


def _loss_raised(_: int, metrics: Metrics) -> Metrics:
    return {**metrics, LOSS: metrics[LOSS] + 7.5}


def _margin_raised(_: int, metrics: Metrics) -> Metrics:
    return {**metrics, MARGIN: metrics[MARGIN] + 7.5}


def _rate_raised(_: int, metrics: Metrics) -> Metrics:
    return {**metrics, RATE: metrics[RATE] + 7.5}


def _small_changed(_: int, metrics: Metrics) -> Metrics:
    return {**metrics, RATE: SMALL[1]}


def _turned(_: int, metrics: Metrics) -> Metrics:
    return {name: -value for name, value in metrics.items()}


def _other_fractions(_: int, metrics: Metrics) -> Metrics:
    return {name: math.floor(v) + (v % 1 + 0.5) % 1 for name, v in metrics.items()}


def _swapped(_: int, metrics: Metrics) -> Metrics:
    return {**metrics, LOSS: metrics[MARGIN], MARGIN: metrics[LOSS]}


@cache
def _raised_at(position: int) -> Change:
    """Returns a change of the metrics at one position of the curve."""

    def change(place: int, metrics: Metrics) -> Metrics:
        return _raised(place, metrics) if place == position else metrics

    return change


__all__ = ["check_curves"]
