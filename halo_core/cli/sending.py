"""Sends the events of a finished run to its trackers, all of them from the first one on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.errors import HaloError, PluginError, UserError
from halo_core.lock import locked
from halo_core.workspace.records import RUN

if TYPE_CHECKING:
    from halo_core.tracker_descriptions import Description
    from halo_core.tracker_feed import Feed

ATTEMPTS = 3
RUNNING = "this run is running and sends its events itself; wait until it is done"


@dataclass(frozen=True)
class Sent:
    """What came of sending a run.

    Attributes:
        results: Of each tracker `use`, `status` (``sent``, ``failed``) and `events`.
        told: What the trackers say of themselves, by their names.
        failures: Why trackers did not take all, or cannot say where they show it.
    """

    results: Sequence[Mapping[str, Any]]
    told: Mapping[str, Description]
    failures: Sequence[HaloError]


def send_run(folder: Path, workspace: Path) -> Sent:
    """Hands all events of a run to each of its trackers; one that fails keeps none of the others.

    Args:
        folder: The run's.
        workspace: Its workspace, where the folder does not tell.

    Raises:
        UserError: When the run is running, or has no trackers.
        SpecErrors: When a tracker is not installed.
    """
    from halo_core.tracker_descriptions import keep

    with locked(folder, RUNNING):
        feeds = _feeds(folder, workspace)
        results: list[dict[str, Any]] = []
        failures = [error for feed in feeds if (error := _send(feed, folder, results))]
        told = _described(feeds, folder, failures)
        for feed in feeds:
            with contextlib.suppress(Exception):  # All is sent; nothing is lost by this.
                feed.close()
        keep(RUN, folder, told)
    return Sent(results, told, failures)


def _feeds(folder: Path, workspace: Path) -> list[Feed]:
    from halo_core.recorded_trackers import recorded_trackers
    from halo_core.tracker_feed import make_feeds

    trackers = recorded_trackers(folder)
    if not trackers:
        raise UserError(
            f"this run has no trackers; {_example()} to its spec and run it again",
            location=str(folder / RUN.name),
        )
    # A run of another workspace brings its own: <workspace>/runs/<name>.
    inside = folder.parent.name == "runs"
    root = folder.parent.parent if inside else workspace.resolve()
    return make_feeds(trackers, folder, root)


def _example() -> str:
    """Returns how a tracker is added to a spec, with the name of an installed one."""
    from halo_core.discovery import discover

    name = next(iter(discover().names("tracker")), None)
    if name is None:
        return "install one (halo plugins --available shows them), add it"
    return f"add tracking: [{name}]"


def _described(
    feeds: Sequence[Feed], folder: Path, failures: list[HaloError]
) -> dict[str, Description]:
    """Returns what trackers say of themselves; adds why some cannot to the failures."""
    from halo_core.redact import one_line
    from halo_core.tracker_descriptions import describe_all

    def failed(name: str, error: BaseException) -> None:
        told = f"{name} cannot say where it shows this run: {one_line(error)}"
        failures.append(PluginError(told, location=str(folder)))

    by_name = {feed.name: feed for feed in feeds}
    trackers = {name: feed.tracker for name, feed in by_name.items()}
    return describe_all(trackers, "describe", lambda name: by_name[name].describe(), failed)


def _send(feed: Feed, folder: Path, results: list[dict[str, Any]]) -> HaloError | None:
    """Hands all events to one tracker; adds what came of it to the results."""
    from halo_core.redact import one_line

    result: dict[str, Any] = {"use": feed.name, "status": "sent", "events": 0}
    results.append(result)
    try:
        _drain(feed)
    except Exception as error:
        result["status"] = "failed"
        return HaloError(
            f"{feed.name} did not take all events: {one_line(error)}; "
            "look whether it can be reached, then try again",
            location=str(folder),
        )
    finally:
        result["events"] = feed.events
    return None


def _drain(feed: Feed) -> None:
    feed.rewind()
    failed = 0
    while True:
        try:
            if not feed.step():
                break
            failed = 0
        except Exception:
            failed += 1
            if failed == ATTEMPTS:
                raise
            time.sleep(failed)
    feed.finish()
