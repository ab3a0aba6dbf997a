"""Commands that each break a rule, by their names. The value of `BREAKS` is the rule."""

from __future__ import annotations

import click


@click.command()
@click.option("--size", type=int, help="Number of rows.")
def right(size: int) -> None:
    """Shows some rows."""
    click.echo(str(size))


@click.group()
def group() -> None:
    """Several commands."""


group.add_command(right)


@click.command()
@click.option("--size", type=int)
def no_help_of_an_option(size: int) -> None:
    """Shows some rows."""


@click.command()
def says_nothing() -> None:
    pass


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def takes_everything(words: tuple[str, ...]) -> None:
    """Shows some words."""


does_nothing = click.Command("nothing", help="Does nothing.")


class _Raises(click.Command):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        raise RuntimeError("no terminal")


@click.command(cls=_Raises)
def raises_in_help() -> None:
    """Shows some rows."""


class _Lists(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["gone"]


lists_what_is_gone = _Lists("lists", help="Several commands.")


@click.command()
@click.option("--size", type=int, help="Number of rows.")
def other_parameter(rows: int) -> None:
    """Shows some rows."""


@click.command()
@click.option("--size", type=int, help="Number of rows.")
def no_parameter() -> None:
    """Shows some rows."""


@click.command()
@click.option("--size", "--rows", type=int, help="Number of rows.")
@click.option("--rows", "-r", type=int, help="Number of rows.")
def one_name_twice(size: int, rows: int) -> None:
    """Shows some rows."""


BREAKS = {
    "right": "",
    "group": "",
    "no_help_of_an_option": "help",
    "says_nothing": "help",
    "raises_in_help": "help",
    "takes_everything": "usage",
    "does_nothing": "usage",
    "lists_what_is_gone": "help",
    "other_parameter": "usage",
    "no_parameter": "usage",
    "one_name_twice": "usage",
}
