"""`halo new`: writes the package of a plugin that already works."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options
from halo_core.errors import UserError
from halo_core.new.kinds import KINDS
from halo_core.new.licences import LICENCES, NONE

if TYPE_CHECKING:
    from halo_core.new.package import Plan


class NewGroup(click.Group):
    """A group that answers an unknown subcommand, such as a kind, with advice."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the subcommand."""
        name = args[0]
        if not name.startswith("-") and name not in self.commands:
            kind = name if name in KINDS else "loss"
            raise UserError(
                f"halo new has no subcommand {name!r}. It writes plugins: halo new plugin NAME "
                f"--kind {kind}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=NewGroup)
def new() -> None:
    """Write a new package that already works."""


@new.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND[=NAME]",
    help=f"A component: {', '.join(KINDS)}. Repeat it for several. Its name is that of the plugin, "
    "or NAME.",
)
@click.option(
    "--license",
    "licence",
    type=click.Choice([*LICENCES, NONE]),
    default=NONE,
    show_default=True,
    help="The licence of your code.",
)
@click.option("--author", metavar="NAME", help="Your name. Default: the name that git has.")
@click.option(
    "--folder",
    type=LocalPath(path_type=Path),
    default=".",
    metavar="DIR",
    help="The folder to write into. Default: the current one.",
)
@output_options
def plugin(
    name: str,
    kinds: tuple[str, ...],
    licence: str,
    author: str | None,
    folder: Path,
    output: Output,
) -> None:
    """Write a plugin with tests, checks and a workflow.

    It is the distribution halo-NAME. The command never overwrites a folder.

    \b
    halo new plugin manners --kind loss --license mit
    halo new plugin manners --kind loss=polite --kind data=greetings
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_core.new.licences import author_of
    from halo_core.new.names import parts_of, plugin_name
    from halo_core.new.package import Plan, package_files
    from halo_core.new.write import check_target, write_package

    short = plugin_name(name)
    plan = Plan(
        name=short,
        parts=parts_of(kinds, short),
        licence="" if licence == NONE else licence,
        author=author_of(author),
        year=time.localtime().tm_year,
    )
    target = folder / plan.distribution
    check_target(target)
    contents = package_files(plan)
    write_package(target, contents)
    notes = []
    if author is None and plan.author:
        notes.append(f"author {plan.author}, the name that git has; see --author")
    if not plan.licence:
        notes.append("no licence, so nobody else may use it; see --license")
    _say(plan, target, list(contents), notes, output)


def _say(
    plan: Plan, target: Path, files: Sequence[str], notes: Sequence[str], output: Output
) -> None:
    commands = next_commands(target, plan.distribution)
    components = [
        {
            "kind": part.kind.option,
            "name": f"{plan.name}/{part.name}",
            "file": f"src/{plan.package}/{part.module}.py",
        }
        for part in plan.parts
    ]
    output.emit(
        {
            "folder": str(target),
            "distribution": plan.distribution,
            "license": plan.licence or None,
            "author": plan.author or None,
            "components": components,
            "files": [*files],
            "next": commands,
        }
    )
    output.say(f"wrote {target}:")
    for each in components:
        output.say(f"  {each['kind']} {each['name']} in {each['file']}")
    for note in notes:
        output.say(f"  {note}")
    output.say("\nNext:")
    for command in commands:
        output.say(f"  {command}")


def next_commands(target: Path, distribution: str) -> list[str]:
    """Returns the three commands that install a new plugin, run its tests and check it.

    It is installed into the environment of this halo if that is a virtual one, or a new one.
    """
    inside, into = f"cd {shlex.quote(str(target))}", ""
    if sys.prefix == sys.base_prefix:
        inside, into = f"{inside} && {Path(sys.executable).name} -m venv .venv", ".venv/bin/"
    return [
        f"{inside} && {into}pip install --editable '.[test]'",
        f"{into}pytest",
        f"{into}halo check {distribution}",
    ]
