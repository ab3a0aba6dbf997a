"""Sends reports to trackers, and asks them for pages that show some runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.redact import one_line
from halo_core.stop_flag import from_outside
from halo_core.tracker import Tracker
from halo_core.tracking.descriptions import describe_all
from halo_core.tracking.send import first_tracked, usable_trackers
from halo_core.workspace.layout import Target
from halo_core.workspace.records import SUITE


@dataclass(frozen=True)
class TrackerPages:
    """The answers of trackers.

    Attributes:
        trackers: Each tracker's description of its page, by name.
        notes: Sentences that say what is missing and what to do about it.
    """

    trackers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def tracker_pages(folders: Sequence[Path]) -> TrackerPages:
    """Returns the pages of the first run's trackers, of the runs that have trackers.

    If a tracker is broken or missing, a note says so and only its link is left out.

    Args:
        folders: The runs' folders. A repeated folder counts once.
    """
    runs = list(dict.fromkeys(folder.resolve() for folder in folders))
    # A single run already has its own page, and there is nothing to compare.
    if len(runs) < 2:
        return TrackerPages()
    tracked = first_tracked(runs)
    if tracked is None:
        return TrackerPages(
            notes=["no link to a tracker: none of the runs has a tracker in its spec"]
        )
    notes: list[str] = []

    def failed(name: str, error: BaseException) -> None:
        notes.append(f"no link to {name}: {one_line(error)}")

    trackers = usable_trackers(tracked, failed)
    workspace = tracked.parent.parent
    pages = describe_all(
        trackers, "compare_runs", lambda name: trackers[name].compare_runs(runs, workspace), failed
    )
    notes += [note for name, page in pages.items() if (note := _absent(name, page, len(runs)))]
    return TrackerPages(pages, notes)


def _absent(name: str, page: Mapping[str, Any], count: int) -> str | None:
    """Returns a sentence about the runs that a tracker does not have, if any."""
    absent = page.get("absent")
    if not isinstance(absent, list) or not absent:
        return None
    which = "none of the runs is"
    if len(absent) < count:
        names = ", ".join(Path(str(run)).name for run in absent)
        which = f"{names} {'is' if len(absent) == 1 else 'are'} not"
    return f"{name}: {which} there; halo sync RUN sends a run to its own tracker"


def hand_over(report: Path, suite: Target) -> list[dict[str, Any]]:
    """Sends a report to trackers, and returns ``use``, ``status`` and ``why`` for each.

    The files stay where they are. A tracker that is broken or unreachable affects nothing else.

    Args:
        report: The folder of the files.
        suite: The suite.
    """
    outcomes: list[dict[str, Any]] = []

    def failed(name: str, error: BaseException) -> None:
        outcomes.append({"use": name, "status": "failed", "why": one_line(error)})

    record = SUITE.read(suite.folder)
    runs = [cell["run"] for cell in record["cells"]] if record else []
    tracked = first_tracked(suite.workspace / run for run in runs if run)
    for name, tracker in (usable_trackers(tracked, failed) if tracked else {}).items():
        try:
            if _takes_report(tracker, report, suite):
                outcomes.append({"use": name, "status": "sent", "why": None})
        except BaseException as error:
            if from_outside(error):
                raise
            failed(name, error)
    return outcomes


def _takes_report(tracker: Tracker, report: Path, suite: Target) -> bool:
    with blaming(tracker, "take_report"):
        taken: object = tracker.take_report(report, suite.folder, suite.workspace)
    if not isinstance(taken, bool):
        expected = "expected True where it took the report, else False"
        older = ", which an older halo did not ask for" if taken is None else ""
        raise plugin_error(tracker, "take_report", f"returned {taken!r}; {expected}{older}")
    return taken
