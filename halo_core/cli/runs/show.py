"""`halo runs show RUN`: all about one run, or its events as they come."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName

if TYPE_CHECKING:
    from halo_core.overview.run_entry import RunEntry
    from halo_core.overview.sizes import Sizes


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE", type=RunName())
@click.option("--follow", is_flag=True, help="Print the events of a run as they come.")
@workspace_option
@output_options
def show(run: str, follow: bool, workspace: str, output: Output) -> None:
    """Show a run: its state, its stages, results and sizes.

    It also says where to look next. For a suite, it lists the runs of its cells.
    """
    from halo_core.cli.runs.choice import Choice
    from halo_core.cli.runs.listing import list_runs
    from halo_core.cli.runs.target import only_run
    from halo_core.errors import UserError
    from halo_core.workspace.layout import find

    target = find(run, Path(workspace).expanduser())
    if target.kind == "suite" and not follow:
        list_runs(str(target.workspace), Choice(spec=target.folder.name, sort="name"), output)
        return
    entry = only_run(run, workspace)
    if follow:
        if output.json:
            raise UserError(
                "prints lines, and --json prints one object at the end; leave one of them out",
                location="--follow",
            )
        _follow(entry, output)
        return
    fields = _fields(entry)
    output.emit(fields)
    if not output.json:
        _say(entry, fields, output)


def _follow(entry: RunEntry, output: Output) -> None:
    from halo_core.overview.follow import event_line, follow
    from halo_core.overview.run_state import run_state

    if entry.state.state != "running":
        output.say(f"{entry.shown} is {entry.state.state}, not running; these are its events")
    try:
        for event in follow(entry.folder):
            if line := event_line(event):
                output.say(line)
    except KeyboardInterrupt:
        output.say("no longer following; the run itself continues")
        return
    state = run_state(entry.folder)
    if state.state == "killed":
        output.say("the process of the run is gone and did not say why; halo run continues the run")


def _fields(entry: RunEntry) -> dict[str, Any]:
    from halo_core.cli.runs.listing import entry_json
    from halo_core.errors import DataError
    from halo_core.overview.run_entry import run_entries, stage_users
    from halo_core.overview.sizes import Sizes
    from halo_core.workspace.layout import Workspace
    from halo_core.workspace.records import stage_done

    sizes = Sizes()
    users = stage_users(run_entries(Workspace(entry.folder.parent.parent)))
    folders = entry.stage_folders()
    stages = []
    for stage in entry.stages:
        folder = folders.get(stage["id"])
        try:
            done = stage_done(folder) if folder else None
            headline = done["headline"] if done else ""
        except DataError as error:
            done, headline = None, str(error)
        begun = folder is not None and folder.is_dir()
        others = sorted(users.get(folder, set()) - {entry.name}) if folder else []
        stages.append(
            {
                "id": stage["id"],
                "use": stage["use"],
                "folder": str(folder) if folder else None,
                "state": "done" if done else "started" if begun else "missing",
                "headline": headline,
                "metrics": dict(done["metrics"]) if done else {},
                "size": sizes.of(folder) if folder else 0,
                "shared_with": others,
            }
        )
    return {
        **entry_json(entry, entry.axes, sizes),
        "own_size": sizes.of(entry.folder) + _own(entry, sizes, users),
        "command": list(entry.record.get("command", [])),
        "seed": entry.record.get("seed"),
        "stages": stages,
        "trackers": dict(entry.record.get("trackers", {})),
        "versions": dict(entry.record.get("versions", {})),
    }


def _own(entry: RunEntry, sizes: Sizes, users: Mapping[Path, set[str]]) -> int:
    """Returns the bytes of the stages that no other run uses."""
    folders = set(entry.stage_folders().values())
    return sum(sizes.of(folder) for folder in folders if users[folder] == {entry.name})


def _say(entry: RunEntry, fields: dict[str, Any], output: Output) -> None:
    from halo_core.cli.runs.listing import moment_text
    from halo_core.cli.terminal import drawn, grid, listing
    from halo_core.cli.tracker_lines import tracker_rows
    from halo_core.overview.sizes import size_text
    from halo_core.tracking.carrier import shown_path

    own, whole = size_text(fields["own_size"]), size_text(fields["size"])
    facts: dict[str, str] = {
        "name": entry.given and entry.name,
        "title": "" if entry.given else entry.title,
        "note": entry.note,
        "state": f"{entry.state.state}{f': {text}' if (text := entry.state.headline) else ''}",
        "problem": entry.problem,
        "spec": entry.spec,
        "suite": entry.suite and f"{entry.suite}, cell {entry.cell}",
        "started": moment_text(entry.state.started),
        "last active": moment_text(entry.state.active),
        "command": shlex.join(fields["command"]),
        "size": whole if own == whole else f"{whole}, of which no other run uses {own}",
        "folder": shown_path(entry.folder),
    }
    pages = [path for path in sorted(entry.folder.glob("*.html"))]
    rows = [(name, text) for name, text in facts.items() if text]
    rows += [("page", shown_path(path)) for path in pages]
    rows += tracker_rows(fields["trackers"])
    output.say(drawn(listing(entry.shown, rows)))
    if fields["stages"]:
        output.say(drawn(grid("", _HEADER, [_row(s) for s in fields["stages"]], texts=3)).rstrip())


_HEADER = ["stage", "does", "result", "state", "size", "shared with"]


def _row(stage: dict[str, Any]) -> list[str]:
    from halo_core.overview.sizes import size_text

    others = len(stage["shared_with"])
    return [
        stage["id"],
        stage["use"],
        stage["headline"],
        stage["state"],
        size_text(stage["size"]),
        f"{others} {'run' if others == 1 else 'runs'}" if others else "",
    ]
