"""`halo sync RUN`: sends a run's events to its trackers again, from the first one on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import HaloError, PathError, UserError
from halo_core.lock import locked

if TYPE_CHECKING:
    from halo_core.tracker_feed import Feed

ATTEMPTS = 3
RUNNING = "this run is running and sends its events itself; wait until it is done"


@click.command()
@click.argument("run")
@workspace_option
@output_options
def sync(run: str, workspace: str, output: Output) -> None:
    """Send the events of RUN, a run's folder or name, to its trackers again.

    Needed after a tracker could not be reached. Sending twice does no harm.
    """
    from halo_core.tracker_feed import describe_all

    folder = find_run(run, Path(workspace))
    with locked(folder, RUNNING):
        feeds = _feeds(folder, Path(workspace))
        results: list[dict[str, Any]] = []
        output.attach(run=folder.name, trackers=results)
        failures = [error for feed in feeds if (error := _send(feed, folder, results))]
    told = describe_all(feeds)
    if failures:
        raise failures[0]
    output.emit({"run": folder.name, "trackers": results, **told})
    for result in results:
        output.say(f"{result['use']}: {result['events']} events sent")
    if "ui" in told:
        output.say(f"  {told['ui']}")
    for name, link in told["links"].items():
        output.say(f"  {name}: {link}")


def find_run(run: str, workspace: Path) -> Path:
    """Returns the folder of a run.

    Args:
        run: Its folder, its name, or the beginning of its name where only one begins so.
        workspace: Where runs are looked for by name.

    Raises:
        PathError: When there is none, or more than one.
    """
    runs = workspace / "runs"
    for folder in (Path(run), runs / run):
        if (folder / "events.jsonl").is_file():
            return folder.resolve()
    names = sorted(path.parent.name for path in runs.glob("*/events.jsonl"))
    begun = [name for name in names if name.startswith(run)]
    if len(begun) == 1:
        return (runs / begun[0]).resolve()
    if begun:
        raise PathError(f"{run!r} is the beginning of {len(begun)} runs: {', '.join(begun)}")
    there = f"runs there: {', '.join(names)}" if names else "there are no runs there yet"
    raise PathError(f"no run {run!r}; {there}", location=str(runs))


def _feeds(folder: Path, workspace: Path) -> list[Feed]:
    from halo_core.recorded_trackers import recorded_trees, resolve_trackers
    from halo_core.tracker_feed import make_feeds

    trees = recorded_trees(folder)
    if not trees:
        raise UserError(
            "this run has no trackers; add tracking: [{use: mlflow}] to its spec and run it again",
            location=str(folder / "run.json"),
        )
    # A run of another workspace brings its own: <workspace>/runs/<name>.
    inside = folder.parent.name == "runs"
    root = folder.parent.parent if inside else workspace.resolve()
    return make_feeds(resolve_trackers(trees, folder), folder, root)


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
    feed.close()
