"""The interfaces of what reads a run from outside: trackers and reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.events import Event

SuiteStatus = Literal["running", "done", "failed", "interrupted", "pending"]
"""How far a suite is; ``pending``: cells are left, and no process is known to run them."""


class StartOver(Exception):
    """Raised by a session that needs the run's events from the first one on.

    Its store was emptied, say, or it was pointed at another one.
    """


class TrackerSession(ABC):
    """An opened tracker. Called from one thread that is not the training loop's."""

    @abstractmethod
    def handle(self, events: Sequence[Event]) -> None:
        """Takes the next events, in order; none now and then, as a sign of life.

        Called again with the same ones if it raises.

        Raises:
            StartOver: To be called with the run's first events next.
        """

    def describe(self) -> Mapping[str, object]:
        """Returns what the tracker says of itself, once all events were handled or given up.

        It is shown at the end of `halo run`, and kept in `run.json` under the tracker's name.
        Credentials in it are hidden. Nothing is shown of an empty one.

        Returns:
            JSON, with four keys that halo knows: `label`, what people call the tracker (its name
            where left out); `url`, the page of the run; `ui`, a command that serves that page
            where no server does; `links`, from names to addresses of further pages, printed
            where there is no `ui`. All others are the tracker's own.
        """
        return {}

    def close(self) -> None:
        """Lets go of connections; all events were handled or given up."""
        return


class Tracker(Component):
    """Carries a run's events elsewhere. Handling an event twice must do no harm.

    A tracker must have `open`. The other methods are abilities: each stands for "not offered"
    until it is overridden.

    Raises:
        PluginError: At class definition, when it has a method that was renamed.
    """

    kind: ClassVar[str] = "tracker"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "keeps_run" in vars(cls):
            raise PluginError(
                "keeps_run() is called has_run() now: rename it, and return None where it cannot "
                "be known",
                location=f"{cls.__module__}.{cls.__qualname__}",
            )

    @abstractmethod
    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session for the run in folder `run`; must not block or touch the network."""

    def has_run(self, run: Path, workspace: Path) -> bool | None:
        """Returns whether the store still has a run whose events were all taken.

        A suite that is run again passes over the finished cells that the store has.

        Args:
            run: The run's folder.
            workspace: The workspace.

        Returns:
            True or False; None where it cannot be known: then what was taken once is believed to
            be there.
        """
        return None

    def tell_suite(
        self, suite: Path, workspace: Path, status: SuiteStatus
    ) -> Mapping[str, object] | None:
        """Shows a suite as one parent of its cells' runs, up to date with its `suite.json`.

        Called again whenever a cell ends; calling it twice changes nothing.

        Args:
            suite: The suite's folder, ``<workspace>/suites/<name>``.
            workspace: The workspace.
            status: How far the suite is.

        Returns:
            As `TrackerSession.describe`, with the page of the suite; it is kept in `suite.json`.
            None where it shows no suites.
        """
        return None

    def take_report(self, report: Path, suite: Path, workspace: Path) -> bool:
        """Shows the files of a report with the suite's parent; again, they are replaced.

        Args:
            report: The folder of the files.
            suite: The suite's folder, ``<workspace>/suites/<name>``.
            workspace: The workspace.

        Returns:
            Whether it took the report; False where it takes none.
        """
        return False

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object] | None:
        """Returns where several runs are next to each other; reads only what is on disk.

        Args:
            runs: The folders of runs, each once.
            workspace: The workspace of the first of them.

        Returns:
            As `TrackerSession.describe`, with the page of the runs, and in `absent` the folders
            (texts) of those that are not on it, since the tracker does not have them. None where
            it has no such page.
        """
        return None


class Report(Component):
    """Writes a page about a run, from its events and its stages' folders."""

    kind: ClassVar[str] = "report"

    @abstractmethod
    def write(self, run: Path) -> Path:
        """Returns the file written into the run's folder."""
