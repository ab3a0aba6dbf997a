"""The type of arguments and options that name a run or a suite, and its names in a shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.errors import PathError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class RunName(click.types.StringParamType):
    """The name, the title or the folder of a run or suite. A shell completes the names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the text.

        Raises:
            PathError: When it is empty.
        """
        from halo_core.workspace.user_paths import empty_name_problem

        if (problem := empty_name_problem(str(value))) is not None:
            name = None if param is None else param.human_readable_name.strip("[].")
            raise PathError(problem, location=name)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the names that begin with a text."""
        from click.shell_completion import CompletionItem

        return [*map(CompletionItem, run_names(ctx, param, incomplete))]


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
