"""The interfaces of trackers and reports, which read a run from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.events import Event

SuiteStatus = Literal["running", "done", "failed", "interrupted", "pending"]
"""Status of a suite. ``pending`` means that cells are left and no known process runs them."""


class StartOver(Exception):
    """An exception that a session raises if it needs all of the run's events again.

    For example, its store was emptied, or it was pointed at another store.
    """


class TrackerSession(ABC):
    """An open tracker. It is called from one thread of a process that does nothing else.

    `halo run` starts that process for each tracker, with a low priority. `halo sync` calls the
    tracker in its own process.
    """

    @abstractmethod
    def handle(self, events: Sequence[Event]) -> None:
        """Takes the next events, in order. Sometimes there are none, as a sign of life.

        If it raises, it is called again with the same events.

        Raises:
            StartOver: To get the run's first events in the next call.
        """

    def describe(self) -> Mapping[str, object]:
        """Returns the tracker's description after all events were handled or given up.

        It is shown at the end of `halo run`, and kept in `run.json` under the tracker's name.
        Credentials in it are hidden. An empty one is not shown.

        Returns:
            JSON with four keys that halo knows: `label`, a name for people (default: the tracker's
            name); `url`, the page of the run; `ui`, a command that serves this page if no server
            does; `links`, the addresses of further pages by name, which are printed if there is no
            `ui`. All other keys are the tracker's own.
        """
        return {}

    def leave(self, status: str, reason: str) -> None:
        """Takes the end of a run of which this tracker did not take the last events.

        `handle` gets these events later, from `halo sync`. Until then, the run is incomplete, but
        not failed. It must not block for long, because the run is over and waits for it.

        Args:
            status: How the run ended: ``done``, ``failed`` or ``interrupted``.
            reason: Why the events are missing, and what sends them.
        """
        return

    def close(self) -> None:
        """Closes connections, after all events were handled or given up."""
        return


class Tracker(Component):
    """Sends a run's events elsewhere. Handling an event twice must do no harm.

    A tracker must have `open`. The other methods are optional abilities, which are "not offered"
    unless they are overridden.

    Raises:
        PluginError: At class definition, when it has a method that was renamed.
    """

    kind: ClassVar[str] = "tracker"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "keeps_run" in vars(cls):
            raise PluginError(
                "keeps_run() is called has_run() now: rename it, and return None if it cannot "
                "be known",
                location=f"{cls.__module__}.{cls.__qualname__}",
            )

    @abstractmethod
    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session for the run in folder `run`. Must not block or use the network."""

    def writes_to(self) -> str | None:
        """Returns the name of the place to which this tracker sends runs, without credentials.

        A spec whose trackers with the same name also have the same place is refused, because both
        would keep one record of a run. The place is shown in the message.

        Returns:
            The name, such as the address of a server; None if two of these trackers never disturb
            each other.
        """
        return None

    def has_run(self, run: Path, workspace: Path) -> bool | None:
        """Returns whether the store still has a run whose events were all taken.

        If a suite is run again, it skips the finished cells that the store still has.

        Args:
            run: The run's folder.
            workspace: The workspace.

        Returns:
            True or False; None if it cannot be known. Then events that were taken are assumed to be
            still there.
        """
        return None

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        """Marks a run or a suite as deleted in the store, without purging what the store has.

        `halo runs rm` calls it before it removes the folder. Calling it twice changes nothing.

        Args:
            folder: The folder of the run or suite, which still exists.
            workspace: The workspace.

        Returns:
            Whether the store had it; False if the tracker does not offer this.
        """
        return False

    def tell_suite(
        self, suite: Path, workspace: Path, status: SuiteStatus
    ) -> Mapping[str, object] | None:
        """Shows a suite as one parent of its cells' runs, with the state in its `suite.json`.

        It is called whenever a cell ends. Calling it twice changes nothing.

        Args:
            suite: The suite's folder, ``<workspace>/suites/<name>``.
            workspace: The workspace.
            status: The status of the suite.

        Returns:
            A description as from `TrackerSession.describe`, with the page of the suite, which is
            kept in `suite.json`; None if it shows no suites.
        """
        return None

    def take_report(self, report: Path, suite: Path, workspace: Path) -> bool:
        """Shows the files of a report with the suite's parent. A later call replaces them.

        Args:
            report: The folder of the files.
            suite: The suite's folder, ``<workspace>/suites/<name>``.
            workspace: The workspace.

        Returns:
            Whether it took the report; False if it takes none.
        """
        return False

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object] | None:
        """Returns the page that shows several runs side by side. Reads only files on disk.

        Args:
            runs: The folders of the runs, without repeats.
            workspace: The workspace of the first of them.

        Returns:
            A description as from `TrackerSession.describe`, with the page of the runs. `absent` has
            the folders (texts) of runs that are not on it, because the tracker does not have them.
            None if it has no such page.
        """
        return None


class Report(Component):
    """Writes a page about a run, from its events and its stages' folders.

    Attributes:
        live: Whether the page is also written while the run is in progress: at the end of each
            stage and at most once a minute, by another process. `write` must then work for a run
            that is not done, and a reader must never find an incomplete file.
    """

    kind: ClassVar[str] = "report"
    live: ClassVar[bool] = False

    @abstractmethod
    def write(self, run: Path) -> Path:
        """Returns the file written into the run's folder."""
