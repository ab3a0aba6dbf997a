"""The group `halo runs` and its list, which is printed without a subcommand."""

from __future__ import annotations

from collections.abc import Sequence

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.runs.choice import choice_options
from halo_core.cli.runs.collect import gc
from halo_core.cli.runs.diff import diff
from halo_core.cli.runs.remove import rm
from halo_core.cli.runs.show import show
from halo_core.cli.runs.titles import note, rename
from halo_core.errors import UserError, did_you_mean


class RunsGroup(click.Group):
    """A group that answers an unknown subcommand, such as the name of a run, with advice."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the subcommand."""
        name = args[0]
        if not name.startswith("-") and name not in self.commands:
            raise UserError(
                f"halo runs has no subcommand {name!r}.{did_you_mean(name, self.commands)} "
                f"It has {', '.join(self.commands)}. To show a run: halo runs show {name}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=RunsGroup, invoke_without_command=True)
@choice_options
@click.option(
    "--sort",
    type=click.Choice(("time", "size", "name")),
    default="time",
    show_default=True,
    help="Order: the last active, the largest, or the names.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most this number of runs."
)
@workspace_option
@output_options
@click.pass_context
def runs(
    context: click.Context,
    output: Output,
    states: Sequence[str],
    spec: str | None,
    sort: str,
    limit: int | None,
    workspace: str,
) -> None:
    """List the runs of a workspace: what varies, their states, results and sizes."""
    if context.invoked_subcommand is not None:
        return
    from halo_core.cli.runs.choice import Choice
    from halo_core.cli.runs.listing import list_runs

    list_runs(workspace, Choice(tuple(states), spec, sort, limit), output)


for command in (show, diff, rename, note, rm, gc):
    runs.add_command(command)
