"""Checks whether a cell of a suite is completely finished, so that its run can be skipped.

A finished run still costs seconds, because its trackers are opened and its pages are drawn again.
It is skipped if everything is in the store, the run's record is what this command would write, the
pages are newer than the stages, and the trackers took all events and still have the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, VersionError
from halo_core.events import last_events
from halo_core.run.execute import component_record
from halo_core.run.plan import Plan
from halo_core.run.run_files import resolved_tree, to_yaml
from halo_core.run.status import new_status
from halo_core.stop_flag import from_outside
from halo_core.suite.state import CellOutcome, ended
from halo_core.tracker import Tracker
from halo_core.tracking.feed import make_feeds
from halo_core.tracking.send import trackers_of
from halo_core.workspace.check_values import check_file
from halo_core.workspace.records import DONE, EVENTS, RESOLVED_SPEC, RUN, RunRecord, stage_done


def finished(plan: Plan) -> CellOutcome | None:
    """Returns the outcome of a cell with nothing left to do; None for any other cell.

    Args:
        plan: The plan of the cell.
    """
    assert plan.spec.cell is not None
    try:
        done = [stage_done(stage.folder) for stage in plan.stages]
        if not all(done) or not (_is_recorded(plan) and _is_told(plan)):
            return None
    except VersionError:
        raise
    except DataError:  # A record is damaged. A run of the cell writes it again.
        return None
    status = new_status(plan)
    for stage, end in zip(status.stages, done, strict=True):
        assert end is not None
        stage.status, stage.metrics, stage.headline = "cached", end["metrics"], end["headline"]
    return ended(plan.spec.cell.id, status, None)


def _is_recorded(plan: Plan) -> bool:
    """Returns whether the run's files are the same as this command would write them.

    Raises:
        DataError: When one of them is damaged.
    """
    record = RUN.read(plan.run_folder) or RunRecord()
    checks = record.get("files", {})
    for name in checks:
        check_file(plan.run_folder / name, checks, "The next halo run writes it again")
    resolved = plan.run_folder / RESOLVED_SPEC
    wanted = [component_record(part) for part in (*plan.spec.tracking, *plan.spec.reports)]
    return (
        all(component in record.get("components", ()) for component in wanted)
        and resolved.is_file()
        and resolved.read_bytes() == to_yaml(resolved_tree(plan.spec)).encode()
    )


def _is_told(plan: Plan) -> bool:
    """Returns whether pages and trackers are up to date, and the run ended without an error."""
    events = plan.run_folder / EVENTS.name
    if not events.is_file():
        return False
    newest = max(_changed(stage.folder / DONE.name) for stage in plan.stages)
    pages = _pages(last_events(events))
    return (
        pages is not None
        and len(pages) == len(plan.spec.reports)
        # A stage that another run computed again is newer than what this run reported.
        and _changed(events) >= newest
        and all(_changed(plan.run_folder / page) >= newest for page in pages)
        and _trackers_are_up_to_date(plan, events.stat().st_size)
    )


def _pages(events: Iterator[Mapping[str, Any]]) -> Sequence[str] | None:
    """Returns the pages written just before a run ended without an error; None if it failed."""
    last = next(events, {})
    if last.get("type") != "run-ended" or last.get("status") != "done":
        return None
    pages = []
    for event in events:
        if event["type"] != "report":
            break
        pages.append(str(event["path"]))
    return pages


def _trackers_are_up_to_date(plan: Plan, size: int) -> bool:
    trackers = trackers_of(plan.spec.tracking)
    root = plan.workspace.root
    feeds = make_feeds(trackers, plan.run_folder, root)
    return all(feed.offset == size for feed in feeds) and all(
        _has_run(tracker, plan) for tracker in trackers.values()
    )


def _has_run(tracker: Tracker, plan: Plan) -> bool:
    """Returns whether a tracker still has a cell's run.

    If the tracker cannot know, it is assumed to have it. If it raises an error or returns nonsense,
    the cell is run again, which costs seconds and loses nothing.
    """
    try:
        return tracker.has_run(plan.run_folder, plan.workspace.root) in (None, True)
    except BaseException as error:
        if from_outside(error):
            raise
        return False


def _changed(path: Path) -> float:
    """Returns when a file was last changed; a time long ago if it does not exist."""
    return path.stat().st_mtime if path.exists() else 0.0
