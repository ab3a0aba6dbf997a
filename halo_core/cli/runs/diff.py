"""`halo runs diff A B`: the specs, data, versions and results of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName

if TYPE_CHECKING:
    from halo_core.overview.run_difference import NumberPair
    from halo_core.overview.spec_difference import Difference


@click.command()
@click.argument("a", metavar="RUN_A", type=RunName())
@click.argument("b", metavar="RUN_B", type=RunName())
@workspace_option
@output_options
def diff(a: str, b: str, workspace: str, output: Output) -> None:
    """Show the differences of two runs.

    These are options of the specs, data, versions and results.
    `halo compare` tests whether the win rates of runs differ.
    """
    from halo_core.cli.runs.target import only_run
    from halo_core.overview.run_difference import run_difference

    first, second = only_run(a, workspace), only_run(b, workspace)
    found = run_difference(first, second)
    parts = {"spec": found.spec, "data": found.data, "versions": found.versions}
    output.emit(
        {
            "a": first.name,
            "b": second.name,
            **{part: [_json(each) for each in listed] for part, listed in parts.items()},
            "results": [_numbers_json(pair) for pair in found.results],
            "same_results": found.same,
        }
    )
    if output.json:
        return
    labels = [first.shown, second.shown]
    for part, listed in parts.items():
        _say_part(part, listed, labels, output)
    _say_results(found.results, found.same, labels, output)


def _json(difference: Difference) -> dict[str, Any]:
    return {"path": difference.path, **difference.values}


def _numbers_json(pair: NumberPair) -> dict[str, Any]:
    fields = {"stage": pair.stage, "metric": pair.metric, "a": pair.a, "b": pair.b}
    return {**fields, "difference": pair.difference}


def _say_part(
    part: str, listed: Sequence[Difference], labels: Sequence[str], output: Output
) -> None:
    from halo_core.cli.terminal import drawn, grid

    if not listed:
        output.say(f"{part}: the same\n")
        return
    rows = [[each.path, *each.values.values()] for each in listed]
    output.say(drawn(grid(part, ["", *labels], rows, texts=3)))


def _say_results(
    pairs: Sequence[NumberPair], same: int, labels: Sequence[str], output: Output
) -> None:
    from halo_core.cli.terminal import drawn, grid

    if not pairs:
        output.say(f"results: the same ({same} compared)" if same else "results: none yet")
        return
    rows = [
        [f"{pair.stage} {pair.metric}", *map(_number, (pair.a, pair.b)), _signed(pair.difference)]
        for pair in pairs
    ]
    output.say(drawn(grid("results", ["", *labels, "difference"], rows, texts=1)).rstrip("\n"))
    if same:
        output.say(f"\nthe same in both: {same}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4g}"
