"""`halo judge`: compares two files of outputs without a run, or measures judges against people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import UserError


@click.command()
@click.argument("more", metavar="[FILE]...", type=LocalPath(), nargs=-1)
@click.option(
    "--a",
    metavar="FILE",
    type=LocalPath(),
    help="Outputs: samples of halo (a file or a stage's folder), AlpacaEval.",
)
@click.option(
    "--b",
    metavar="FILE",
    type=LocalPath(),
    help="Outputs to compare with; 'target' for the targets in --a.",
)
@click.option(
    "--validate",
    multiple=True,
    metavar="FILE",
    type=LocalPath(),
    help="File of comparisons with people's labels: LLMBar, PandaLM, AlpacaEval or plain. "
    "Repeatable.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    metavar="JUDGE",
    help="The judge: NAME or '{use: NAME, OPTION: VALUE}'; repeatable with --validate.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Set an option of the judge, as in --set judge.max_cost=5. Repeatable.",
)
@click.option(
    "--orders",
    type=click.Choice(["both", "counterbalanced"]),
    help="Ask in both orders (default), or once with half of the prompts in each order.",
)
@click.option("--n", type=click.IntRange(1), help="Maximum number of comparisons to judge.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="With --n, seed of the choice of comparisons. Default: 0.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Confidence level of the intervals and of the test against longest.",
)
@click.option(
    "--out",
    metavar="PATH",
    type=LocalPath(),
    help="Write the verdicts (.jsonl, or a folder), or with --validate the table (.csv or .json).",
)
@click.option("--dry-run", is_flag=True, help="Print requests, tokens and dollars; ask nothing.")
@workspace_option
@output_options
def judge(
    more: Sequence[str],
    a: str | None,
    b: str | None,
    validate: Sequence[str],
    judges: Sequence[str],
    overrides: Sequence[str],
    orders: Literal["both", "counterbalanced"] | None,
    n: int | None,
    seed: int | None,
    confidence: float,
    out: str | None,
    dry_run: bool,
    workspace: str,
    output: Output,
) -> None:
    """Compare two files of outputs, or measure judges against people's labels.

    \b
    halo judge --a outputs.jsonl --b baseline.json --judge gpt-4 --dry-run
    halo judge --validate llmbar.json --judge gpt-4

    Each verdict is saved in the workspace at once. After Ctrl-C, the same command continues.
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_judge.command.choices import Choices

    _check(more, a, b, validate, judges, orders)
    if seed is not None and n is None:
        raise UserError("has no effect without --n; leave it out", location="--seed")
    choices = Choices(n, seed or 0, confidence, out, dry_run, workspace)
    if validate:
        from halo_judge.command.validate_judges import validate_judges

        validate_judges([*validate, *more], judges, overrides, choices, output)
        return
    from halo_judge.command.compare_files import compare_files

    assert a is not None
    assert b is not None
    compare_files(a, b, judges[0], overrides, orders or "both", choices, output)


def _check(
    more: Sequence[str],
    a: str | None,
    b: str | None,
    validate: Sequence[str],
    judges: Sequence[str],
    orders: str | None,
) -> None:
    if validate:
        for option, value in {"--a": a, "--b": b, "--orders": orders}.items():
            if value is not None:
                raise UserError("has no effect with --validate; leave it out", location=option)
        return
    if more or a is None or b is None:
        raise UserError(
            "expected --a FILE --b FILE, or --validate FILE", location=more[0] if more else None
        )
    if len(judges) != 1:
        known = "such as longest or gpt-4; halo plugins lists all"
        raise UserError(f"{len(judges)} judges given; expected one, {known}", location="--judge")
