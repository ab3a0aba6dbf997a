"""The interfaces of what reads a run from outside: trackers and reports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from halo_core.component import Component
from halo_core.events import Event

SuiteStatus = Literal["running", "done", "failed", "interrupted", "pending"]
"""How far a suite is; ``pending``: cells are left, and no process is known to run them."""


class StartOver(Exception):
    """Raised by a session that needs the run's events from the first one on.

    Its store was emptied, say, or it was pointed at another one.
    """


class TrackerSession(Protocol):
    """An opened tracker. Called from one thread that is not the training loop's."""

    def handle(self, events: Sequence[Event]) -> None:
        """Takes the next events, in order; none now and then, as a sign of life.

        Called again with the same ones if it raises.

        Raises:
            StartOver: To be called with the run's first events next.
        """
        ...

    def describe(self) -> Mapping[str, object]:
        """Returns what `halo run --json` adds: `links`, and ids of the tracker's own."""
        ...

    def close(self) -> None:
        """Lets go of connections; all events were handled or given up."""
        ...


class Tracker(Component):
    """Carries a run's events elsewhere. Handling an event twice must do no harm."""

    kind: ClassVar[str] = "tracker"

    @abstractmethod
    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session for the run in folder `run`; must not block or touch the network."""


@runtime_checkable
class SuiteTracker(Protocol):
    """What a tracker may do besides: show a suite as one parent of its cells' runs."""

    def tell_suite(self, suite: Path, workspace: Path, status: SuiteStatus) -> Mapping[str, object]:
        """Brings the parent up to date with the suite's `suite.json`.

        Called again whenever a cell ends; calling it twice changes nothing.

        Args:
            suite: The suite's folder.
            workspace: The workspace.
            status: How far the suite is.

        Returns:
            What a tracker's session says of itself: `links`, and ids of its own.
        """
        ...


@runtime_checkable
class ReportTaker(Protocol):
    """An optional ability of a tracker: it takes a report that was made of a suite afterwards."""

    def take_report(self, report: Path, suite: Path, workspace: Path) -> None:
        """Shows the files of a report with the suite's parent; again, they are replaced.

        Args:
            report: The folder of the files.
            suite: The suite's folder, ``<workspace>/suites/<name>``.
            workspace: The workspace.
        """
        ...


@runtime_checkable
class RunComparer(Protocol):
    """An optional ability of a tracker: it has a page with several runs next to each other."""

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
        """Returns where that page is; reads only what is on disk and asks no server.

        Args:
            runs: The folders of runs, each once.
            workspace: The workspace of the first of them.

        Returns:
            What a tracker's session says of itself: `links`, and what makes them work (`ui`). And
            in `absent` the folders of those runs that are not on the page, since the tracker does
            not have them.
        """
        ...


@runtime_checkable
class RunKeeper(Protocol):
    """An optional ability of a tracker: it can tell whether its store still has a run.

    A suite that is run again passes over the finished cells that the store has. Without this
    ability, what a tracker took once it is believed to have.
    """

    def keeps_run(self, run: Path, workspace: Path) -> bool:
        """Returns whether the store has a run whose events were all taken; False if not known."""
        ...


class Report(Component):
    """Writes a page about a run, from its events and its stages' folders."""

    kind: ClassVar[str] = "report"

    @abstractmethod
    def write(self, run: Path) -> Path:
        """Returns the file written into the run's folder."""
