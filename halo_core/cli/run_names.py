"""Completes the names of runs and suites in a shell."""

from __future__ import annotations

import os
from pathlib import Path

import click


def run_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Returns the names of runs and suites that begin with a text, for `shell_complete`.

    Args:
        context: The context of the command, which may have a workspace.
        incomplete: The text typed so far.
    """
    from halo_core.workspace.layout import targets, title_of

    given = context.params.get("workspace") or os.environ.get("HALO_WORKSPACE") or "./workspace"
    names: dict[str, None] = {}
    for target in targets(Path(given).expanduser()):
        names[target.folder.name] = None
        title = title_of(target.folder)["title"]
        if title and " " not in title:  # A shell would read two words.
            names[title] = None
    return [name for name in names if name.startswith(incomplete)]
