"""Finds the trackers that a run was recorded with, and sends its events to them again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from halo_core.errors import DiskError, HaloError, PluginError, UserError
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.tracker import Tracker
from halo_core.tracking.descriptions import by_name, numbered
from halo_core.uri_credentials import uri_secrets, without_credentials
from halo_core.workspace.lock import locked
from halo_core.workspace.records import RUN

if TYPE_CHECKING:
    from halo_core.tracking.descriptions import Description
    from halo_core.tracking.feed import Feed


def trackers_of(resolved: Iterable[Resolved]) -> dict[str, Tracker]:
    """Returns the trackers of a checked spec, by name."""
    return by_name(cast(Tracker, part.component) for part in resolved)


def recorded_trees(run: Path) -> Sequence[Mapping[str, Any]]:
    """Returns the trackers in a run's `run.json`: names and options, as in a spec.

    An older halo recorded the credentials in their addresses. They are left out, because a tracker
    takes them from the environment.
    """
    record = RUN.read(run)
    trees: Sequence[Mapping[str, Any]] = record.get("tracking", []) if record else []
    return [_without_credentials(tree) for tree in trees]


def _without_credentials(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_credentials(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_credentials(item) for item in value]
    if isinstance(value, str) and uri_secrets(value):
        return without_credentials(value, "")
    return value


def first_tracked(runs: Iterable[Path]) -> Path | None:
    """Returns the first of some runs that was recorded with trackers."""
    return next((run for run in runs if recorded_trees(run)), None)


def recorded_trackers(run: Path) -> dict[str, Tracker]:
    """Returns the trackers that a run was recorded with, by name.

    Raises:
        SpecErrors: When a tracker is not installed or has a wrong option.
    """
    return by_name(resolved_trackers(recorded_trees(run), run))


def usable_trackers(run: Path, failed: Callable[[str, BaseException], None]) -> dict[str, Tracker]:
    """Returns the usable trackers of a run by name.

    Args:
        run: The run's folder.
        failed: Receives the name of each other tracker and its error.
    """
    trees = recorded_trees(run)
    usable: dict[str, Tracker] = {}
    for name, tree in zip(numbered(str(tree.get("use")) for tree in trees), trees, strict=True):
        try:
            (usable[name],) = resolved_trackers([tree], run)
        except Exception as error:
            failed(name, error)
    return usable


def resolved_trackers(trees: Sequence[Mapping[str, Any]], folder: Path) -> list[Tracker]:
    """Returns the trackers of trees with their names and options.

    Args:
        trees: The trees, as in a spec.
        folder: The run's folder.

    Raises:
        SpecErrors: When a tracker is not installed or has a wrong option.
    """
    mistakes = Mistakes(Document(RUN.name, folder, {"tracking": list(trees)}))
    resolver = Resolver(discover(), mistakes)
    resolved = [
        resolver.resolve("tracker", dict(tree), ("tracking", i)) for i, tree in enumerate(trees)
    ]
    mistakes.raise_if_any()
    return [cast(Tracker, part.component) for part in resolved if part is not None]


ATTEMPTS = 6
"""Number of times in a row that the same events are sent."""
LONGEST_PAUSE_S = 3
ADVICE = "; check whether it can be reached, then try again"
RUNNING = "this run is still running and sends its events itself; wait until it is done"


@dataclass(frozen=True)
class Sent:
    """The result of sending a run.

    Attributes:
        results: One mapping per tracker: `use`, `status` (``sent``, ``failed``) and `events`.
        told: Descriptions of the trackers by name.
        failures: Errors of trackers that did not take all events or cannot describe themselves.
    """

    results: Sequence[Mapping[str, Any]]
    told: Mapping[str, Description]
    failures: Sequence[HaloError]


def send_run(folder: Path, workspace: Path) -> Sent:
    """Sends all events of a run to each of its trackers. If one fails, the others get theirs.

    Args:
        folder: The folder of the run.
        workspace: The workspace, if the run's folder does not show it.

    Raises:
        UserError: When the run is running, or has no trackers.
        SpecErrors: When a tracker is not installed.
    """
    from halo_core.tracking.descriptions import keep

    with locked(folder, RUNNING):
        feeds = _feeds(folder, workspace)
        results: list[dict[str, Any]] = []
        failures = [error for feed in feeds if (error := _send(feed, folder, results))]
        descriptions = _described(feeds, folder, failures)
        for feed in feeds:
            with contextlib.suppress(Exception):  # All is sent, so nothing is lost.
                feed.close()
        keep(RUN, folder, descriptions)
    return Sent(results, descriptions, failures)


def _feeds(folder: Path, workspace: Path) -> list[Feed]:
    from halo_core.tracking.feed import make_feeds

    trackers = recorded_trackers(folder)
    if not trackers:
        raise UserError(
            f"this run has no trackers; {_example()} to its spec and run it again",
            location=str(folder / RUN.name),
        )
    # The path of a run in another workspace shows that workspace: <workspace>/runs/<name>.
    inside = folder.parent.name == "runs"
    root = folder.parent.parent if inside else workspace.resolve()
    return make_feeds(trackers, folder, root)


def _example() -> str:
    """Returns advice on adding a tracker to a spec, with the name of an installed one."""
    from halo_core.plugins.discovery import discover

    name = next(iter(discover().names("tracker")), None)
    if name is None:
        return "install one (halo plugins --available shows them), add it"
    return f"add tracking: [{name}]"


def _described(
    feeds: Sequence[Feed], folder: Path, failures: list[HaloError]
) -> dict[str, Description]:
    """Returns the descriptions of trackers. Adds the errors of trackers to the failures."""
    from halo_core.redact import one_line
    from halo_core.tracking.descriptions import describe_all

    def failed(name: str, error: BaseException) -> None:
        message = f"{name} cannot say where it shows this run: {one_line(error)}"
        failures.append(PluginError(message, location=str(folder)))

    by_name = {feed.name: feed for feed in feeds}
    trackers = {name: feed.tracker for name, feed in by_name.items()}
    return describe_all(trackers, "describe", lambda name: by_name[name].describe(), failed)


def _send(feed: Feed, folder: Path, results: list[dict[str, Any]]) -> HaloError | None:
    """Sends all events to one tracker, and adds the outcome to the results."""
    result: dict[str, Any] = {"use": feed.name, "status": "sent", "events": 0}
    results.append(result)
    try:
        _drain(feed)
    except Exception as error:
        result["status"] = "failed"
        # An error of this kind says itself what to do, and the store was reached.
        advice = "" if isinstance(error, UserError | DiskError) else ADVICE
        return failure(
            error, f"{feed.name} did not take all events: ", advice, location=str(folder)
        )
    finally:
        result["events"] = feed.events
    return None


def failure(
    error: BaseException, before: str = "", after: str = "", *, location: str | None = None
) -> HaloError:
    """Returns a tracker's error as a `HaloError`: a `PluginError` if the tracker is broken.

    A tracker that cannot reach a server or a disk raises an `OSError`, or a `HaloError` on purpose,
    which is nobody's mistake.
    """
    from halo_core.redact import one_line

    code = error.exit_code if isinstance(error, HaloError) else None
    broken = code == PluginError.exit_code and not isinstance(error.__cause__, OSError)
    error_class = PluginError if broken else HaloError
    return error_class(f"{before}{one_line(error)}{after}", location=location)


def _drain(feed: Feed) -> None:
    # Start with the first event: the store may have been emptied, and repeating an event is
    # harmless.
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
            time.sleep(min(failed, LONGEST_PAUSE_S))
    feed.finish()
