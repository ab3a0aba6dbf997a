"""`halo sync RUN_OR_SUITE`: sends events to trackers again, from the first one on."""

from __future__ import annotations

from pathlib import Path

import click

from halo_core.cli.output import Output, output_options, workspace_option


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE")
@workspace_option
@output_options
def sync(run: str, workspace: str, output: Output) -> None:
    """Send the events of a run, or of all cells of a suite, to their trackers again.

    It is given by its folder or name. Needed after a tracker could not be reached. Sending twice
    does no harm.
    """
    from halo_core.workspace.layout import find

    target = find(run, Path(workspace))
    if target.kind == "suite":
        from halo_core.cli.sync_suite import sync_suite

        sync_suite(target.folder, output)
        return
    _sync_run(target.folder, Path(workspace), output)


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
