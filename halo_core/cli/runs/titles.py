"""`halo runs rename` and `halo runs note`."""

from __future__ import annotations

from pathlib import Path

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE", type=RunName())
@click.argument("name")
@workspace_option
@output_options
def rename(run: str, name: str, workspace: str, output: Output) -> None:
    """Give a run or suite a name that all commands accept.

    The NAME is also shown. The folder and the results stay as they are. An empty NAME ('') removes
    the name.
    """
    from halo_core.overview.titles import rename as give_name
    from halo_core.workspace.layout import find, title_of

    target = find(run, Path(workspace).expanduser())
    give_name(target, name)
    title = title_of(target.folder)["title"]
    output.emit({"name": target.folder.name, "title": title})
    if title:
        output.say(f"{target.folder.name} is shown as {title}")
    else:
        output.say(f"{target.folder.name}: the name that you gave is removed")


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE", type=RunName())
@click.argument("text", required=False)
@workspace_option
@output_options
def note(run: str, text: str | None, workspace: str, output: Output) -> None:
    """Write or print a note about a run or suite.

    Without TEXT, the note is printed. `halo runs` shows it, and so do pages that are written
    later. An empty TEXT ('') removes it.
    """
    from halo_core.overview.titles import set_note
    from halo_core.workspace.layout import find, title_of

    target = find(run, Path(workspace).expanduser())
    if text is not None:
        set_note(target, text)
    kept = title_of(target.folder)["note"]
    output.emit({"name": target.folder.name, "note": kept})
    output.say(kept or f"{target.folder.name} has no note")
