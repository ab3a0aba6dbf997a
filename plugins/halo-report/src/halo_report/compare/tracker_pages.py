"""Where trackers show the same runs next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.recorded_trackers import recorded_trees, resolve_trackers
from halo_core.redact import one_line
from halo_report.compare.entries import Entry


@dataclass(frozen=True)
class TrackerPages:
    """What trackers say.

    Attributes:
        links: Label to address.
        starts: The commands that make the links work, where no server runs.
        notes: What is not there, and what to do about it.
    """

    links: Mapping[str, str] = field(default_factory=dict)
    starts: Sequence[str] = ()
    notes: Sequence[str] = ()


def tracker_pages(entries: Sequence[Entry]) -> TrackerPages:
    """Returns the pages of the trackers of the first run that has any.

    A tracker that is broken or gone costs its link, and a note says so.
    """
    runs = list(dict.fromkeys(entry.run.folder.resolve() for entry in entries))
    if len(runs) < 2:
        return TrackerPages()
    tracked = next((run for run in runs if recorded_trees(run)), None)
    if tracked is None:
        return TrackerPages(notes=["no link: none of the runs has a tracker in its spec"])
    links: dict[str, str] = {}
    starts: list[str] = []
    notes: list[str] = []
    for tree in recorded_trees(tracked):
        use = str(tree.get("use"))
        try:
            ((name, tracker),) = resolve_trackers([tree], tracked)
            told = tracker.compare_runs(runs, tracked.parent.parent)
            if told is None:
                continue
        except Exception as error:
            notes.append(f"no link to {use}: {one_line(error)}")
            continue
        found = told.get("links")
        if isinstance(found, Mapping):
            links |= {f"{name}: {label}": str(link) for label, link in found.items()}
            starts += [str(told["ui"])] if found and "ui" in told else []
        absent = told.get("absent")
        if isinstance(absent, Sequence) and absent:
            notes.append(_absent(name, [Path(run) for run in absent], len(runs), told))
    return TrackerPages(links, starts, notes)


def _absent(name: str, absent: Sequence[Path], runs: int, told: Mapping[str, object]) -> str:
    where = f" in {told['tracking_uri']}" if told.get("tracking_uri") else ""
    which = "none of the runs is"
    if len(absent) < runs:
        which = f"{', '.join(run.name for run in absent)} {'is' if len(absent) == 1 else 'are'} not"
    return f"{name}: {which}{where}; halo sync RUN sends a run to its own tracker"
