"""`halo sync RUN_OR_SUITE`: sends events to trackers again, from the first one on."""

from __future__ import annotations

from pathlib import Path

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import PathError, did_you_mean
from halo_core.workspace.records import EVENTS, SUITE


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE")
@workspace_option
@output_options
def sync(run: str, workspace: str, output: Output) -> None:
    """Send the events of a run, or of all cells of a suite, to their trackers again.

    It is given by its folder or name. Needed after a tracker could not be reached. Sending twice
    does no harm.
    """
    suite = find_suite(run, Path(workspace))
    if suite is not None:
        from halo_core.cli.sync_suite import sync_suite

        sync_suite(suite, output)
        return
    _sync_run(find_run(run, Path(workspace)), Path(workspace), output)


def _sync_run(folder: Path, workspace: Path, output: Output) -> None:
    from halo_core.cli.sending import send_run
    from halo_core.cli.tracker_lines import label_lines, tracker_rows

    sent = send_run(folder, workspace)
    output.attach(run=folder.name, sent=list(sent.results), trackers=dict(sent.told))
    if sent.failures:
        raise sent.failures[0]
    output.emit({"run": folder.name, "sent": list(sent.results), "trackers": dict(sent.told)})
    for result in sent.results:
        output.say(f"{result['use']}: {result['events']} events sent")
    for line in label_lines(tracker_rows(sent.told)):
        output.say(line)


def find_suite(name: str, workspace: Path) -> Path | None:
    """Returns the folder of a suite; None where a name does not mean one.

    Args:
        name: Its folder, its name, or the beginning of its name where only one suite begins so
            and no run has that name.
        workspace: Where suites are looked for by name.
    """
    suites = workspace / "suites"
    for folder in (Path(name), suites / name):
        if (folder / SUITE.name).is_file():
            return folder.resolve()
    runs = (Path(name), workspace / "runs" / name)
    if any((folder / EVENTS.name).is_file() for folder in runs):
        return None
    known = [path.parent for path in suites.glob(f"*/{SUITE.name}")]
    begun = [folder for folder in known if folder.name.startswith(name)]
    return begun[0].resolve() if len(begun) == 1 else None


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
        if (folder / EVENTS.name).is_file():
            return folder.resolve()
    names = sorted(path.parent.name for path in runs.glob(f"*/{EVENTS.name}"))
    begun = [name for name in names if name.startswith(run)]
    if len(begun) == 1:
        return (runs / begun[0]).resolve()
    if begun:
        raise PathError(f"{run!r} is the beginning of {len(begun)} runs: {', '.join(begun)}")
    guess = did_you_mean(run, names)
    there = f"Runs there: {', '.join(names)}" if names else "There are no runs there yet"
    raise PathError(f"no run or suite {run!r}.{guess} {there}", location=str(runs))
