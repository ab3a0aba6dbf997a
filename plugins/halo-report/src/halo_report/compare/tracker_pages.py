"""Where trackers show the same runs next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.recorded_trackers import first_tracked, usable_trackers
from halo_core.redact import one_line
from halo_core.tracker_descriptions import describe_all
from halo_report.compare.entries import Entry


@dataclass(frozen=True)
class TrackerPages:
    """What trackers say.

    Attributes:
        trackers: By name, what each says of its page.
        notes: What is not there, and what to do about it.
    """

    trackers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def tracker_pages(entries: Sequence[Entry]) -> TrackerPages:
    """Returns the pages of the trackers of the first run that has any.

    A tracker that is broken or gone costs its link, and a note says so.
    """
    runs = list(dict.fromkeys(entry.run.folder.resolve() for entry in entries))
    if len(runs) < 2:
        return TrackerPages()
    tracked = first_tracked(runs)
    if tracked is None:
        return TrackerPages(notes=["no link: none of the runs has a tracker in its spec"])
    notes: list[str] = []

    def failed(name: str, error: BaseException) -> None:
        notes.append(f"no link to {name}: {one_line(error)}")

    trackers = usable_trackers(tracked, failed)
    workspace = tracked.parent.parent
    told = describe_all(
        trackers, "compare_runs", lambda name: trackers[name].compare_runs(runs, workspace), failed
    )
    notes += [note for name, said in told.items() if (note := _absent(name, said, len(runs)))]
    return TrackerPages(told, notes)


def _absent(name: str, said: Mapping[str, Any], count: int) -> str | None:
    """Returns which of some runs a tracker does not have, if any."""
    absent = said.get("absent")
    if not isinstance(absent, list) or not absent:
        return None
    which = "none of the runs is"
    if len(absent) < count:
        names = ", ".join(Path(str(run)).name for run in absent)
        which = f"{names} {'is' if len(absent) == 1 else 'are'} not"
    return f"{name}: {which} there; halo sync RUN sends a run to its own tracker"
