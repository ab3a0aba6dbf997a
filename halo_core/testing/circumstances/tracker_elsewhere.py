"""Checks that a tracker writes the same files in another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halo_core.testing.circumstances import elsewhere
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.trackers.tracker_effects import written_one_by_one
from halo_core.testing.trackers.tracker_events import make_alike_run
from halo_core.testing.trackers.tracker_secrets import marked_environment
from halo_core.tracker import Tracker

QUICK_S = 3.0
"""Seconds that two sessions may take. Otherwise, the other processes would take too long."""

LARGEST = 100_000
"""Characters of a file that are compared."""


class NotComparedError(Exception):
    """A tracker whose files cannot be compared. The text says why."""


def tracker_told(tracker: Tracker, folder: Path) -> Mapping[str, str]:
    """Returns the files that a tracker writes for a run, which is made once in a folder."""
    given = folder.resolve() / "given"
    runs = sorted((given / "runs").glob("*"))
    run = runs[0] if runs else make_alike_run(given)
    root = folder.resolve() / "workspaces" / "workspace"
    root.parent.mkdir(exist_ok=True)
    with marked_environment(tracker):
        files = written_one_by_one(tracker, run, root)
    return {n: content.decode("utf-8", "replace")[:LARGEST] for n, content in files.items()}


def check_tracker_elsewhere(tracker: Tracker, folder: Path) -> None:
    """Checks that another process writes the same files for the same events.

    Args:
        tracker: A tracker with its options.
        folder: An empty folder.

    Raises:
        AssertionError: When the other process writes another file.
        NotComparedError: When the tracker writes no file, is slow, or writes other files for the
            same events each time, for example because it gives new ids.
    """
    begun = own_time()
    first = tracker_told(tracker, folder)
    if not first:
        raise NotComparedError("it writes no file into the workspace that could be compared")
    if own_time() - begun > QUICK_S / 2:
        raise NotComparedError(f"a session takes more than {QUICK_S / 2:g} s")
    if first != tracker_told(tracker, folder):
        raise NotComparedError("the same events write other files each time, such as new ids")
    elsewhere.check_elsewhere(tracker, tracker_told, folder)


__all__ = ["NotComparedError", "check_tracker_elsewhere"]
