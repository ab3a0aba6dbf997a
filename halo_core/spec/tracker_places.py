"""Refuses two trackers of a spec that would keep one record of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.tracker import Tracker


def check_places(trackers: Sequence[Resolved], mistakes: Mistakes) -> None:
    """Notes a mistake for each tracker that sends runs to the place of an earlier one of its name.

    Those with the same options are another mistake: see `halo_core.spec.spec`.

    Raises:
        PluginError: When a tracker cannot say its place.
    """
    known: dict[tuple[str, str], Resolved] = {}
    for tracker in trackers:
        if (place := _place(cast(Tracker, tracker.component))) is None:
            continue
        first = known.setdefault((tracker.name, place), tracker)
        if first.tree() != tracker.tree():
            mistakes.add(
                tracker.keys,
                f"{tracker.short_name} sends each run to {place}, and so does "
                f"{'.'.join(map(str, first.keys))}: both would keep one record of a run there; "
                "expected another place, or one of them",
            )


def _place(tracker: Tracker) -> str | None:
    with blaming(tracker, "writes_to"):
        place: object = tracker.writes_to()
    if place is not None and not isinstance(place, str):
        raise plugin_error(tracker, "writes_to", f"gave {place!r}; expected a text or None")
    return place


__all__ = ["check_places"]
