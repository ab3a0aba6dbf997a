"""`halo inspect LOSS...`: shows the value functions that losses assume people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.options import parse_overrides
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.terminal import drawn, grid
from halo_core.errors import UserError

if TYPE_CHECKING:
    from halo_report.values.declared import ImpliedValue
    from halo_report.values.qualities import Qualities, Quality

QUALITIES = {
    "reference_point": "reference point",
    "diminishing_sensitivity": "diminishing sensitivity",
    "loss_aversion": "loss aversion",
}


@click.command()
@click.argument("losses", metavar="LOSS...", nargs=-1, required=True)
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="LOSS.OPTION=VALUE",
    help="Set an option of a loss, as in --set kto.beta=0.3. Repeatable.",
)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="File for the figure: .svg, .png or .pdf. Default: value-functions.svg in the workspace.",
)
@click.option(
    "--span",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=4.0,
    show_default=True,
    help="Largest gain and loss to check, in reward units.",
)
@workspace_option
@output_options
def inspect(
    losses: Sequence[str],
    options: Sequence[str],
    out: str | None,
    span: float,
    workspace: str,
    output: Output,
) -> None:
    """Show the value functions that losses assume people have, and how human these are.

    \b
    halo inspect kto dpo
    halo inspect kto "{use: dpo, label_smoothing: 0.1}" file:./mine.py:MyLoss --out values.png
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_report.values.declared import named_values
    from halo_report.values.yardsticks import yardsticks

    path = _figure_path(out, Path(workspace))
    values = named_values(losses, parse_overrides(options))
    if all(value.function is None for value in values):
        raise UserError(
            f"no value function: {', '.join(v.label for v in values)} declares none. Name a loss "
            "with a method value(self, gain: float) -> float, such as kto"
        )
    rows = [_row(value, span) for value in values]
    known = [_row(value, span) for value in yardsticks(values)]
    _draw(values, span, path)
    output.emit({"losses": rows, "yardsticks": known, "span": span, "file": str(path)})
    if not output.json:
        output.say(_text([*rows, *known], span).rstrip("\n"))
        output.say(f"figure: {path}")


def _figure_path(out: str | None, workspace: Path) -> Path:
    from halo_report.figures.plot import FORMATS

    path = Path(out) if out else workspace / "value-functions.svg"
    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise UserError(
            f"got {path.name!r}; expected a name that ends in .{', .'.join(FORMATS)}",
            location="--out",
        )
    return path


def _draw(values: Sequence[ImpliedValue], span: float, path: Path) -> None:
    from halo_report.figures.plot import save
    from halo_report.figures.value_curves import value_figure

    plot = value_figure(values, span=span)
    assert plot is not None
    try:
        save(plot, path)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}; name another with --out"
        raise UserError(reason, location=str(path)) from error


def _row(value: ImpliedValue, span: float) -> dict[str, Any]:
    """Returns the facts about one loss as `--json` prints them."""
    from halo_report.values.qualities import check_qualities

    sampled = value.sampled(span)
    row: dict[str, Any] = {
        "label": value.label,
        "name": value.name,
        "options": dict(value.options),
        "declares_value": sampled is not None,
    }
    return row if sampled is None else row | _quality_fields(check_qualities(sampled, value.label))


def _quality_fields(qualities: Qualities) -> dict[str, Any]:
    return {
        "qualities": {
            "reference_point": _quality(qualities.reference_point),
            "diminishing_sensitivity": _quality(qualities.diminishing_sensitivity),
            "loss_aversion": _quality(qualities.loss_aversion),
        },
        "gradient": [{"gain": gain, "size": size} for gain, size in qualities.gradient.items()],
        "saturates": dict(qualities.saturates),
        "notes": list(qualities.notes),
    }


def _quality(quality: Quality) -> dict[str, str]:
    return {"holds": quality.holds, "why": quality.why}


def _text(rows: Sequence[dict[str, Any]], span: float) -> str:
    from rich.text import Text

    declared = [row for row in rows if row["declares_value"]]
    parts: list[Any] = [_answers(rows), _gradients(declared)]
    for row in declared:
        parts.append(Text(row["label"], style="bold"))
        for name, quality in row["qualities"].items():
            parts.append(f"  {QUALITIES[name]}: {quality['holds']}, {quality['why']}")
        parts += [f"  note: {note}" for note in row["notes"]]
    return drawn(*parts, f"\nChecked for gains from {-span:g} to {span:g}, in reward units.")


def _answers(rows: Sequence[dict[str, Any]]) -> Any:
    header = (
        "loss",
        "reference\npoint",
        "concave in gains,\nconvex in losses",
        "loss\naversion",
        "slope below a tenth\nof that at 0",
    )
    lines = []
    for row in rows:
        answers = ["-", "declares no value", "-", "-"]
        if row["declares_value"]:
            answers = [quality["holds"] for quality in row["qualities"].values()]
            answers.append(_saturation(row["saturates"]))
        lines.append([row["label"], *answers])
    return grid("", header, lines, texts=len(header))


def _saturation(saturates: dict[str, float | None]) -> str:
    sides = [f"{name} > {at:.2g}" for name, at in saturates.items() if at is not None]
    return ", ".join(sides) or "nowhere"


def _gradients(rows: Sequence[dict[str, Any]]) -> Any:
    gains = [f"{point['gain']:g}" for point in rows[0]["gradient"]]
    lines = []
    for row in rows:
        sizes = (point["size"] for point in row["gradient"])
        shown = ("-" if size is None else f"{size:.2g}" for size in sizes)
        lines.append([row["label"], *shown])
    return grid("", ["slope at a gain of", *gains], lines)
