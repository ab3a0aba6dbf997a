"""`halo data NAME`, `halo data FILE` or `halo data SPEC`: what a data source holds."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.data_sources import only_spec, shown_sets, spec_and_set, wanted_sets
from halo_core.cli.options import RunRequest, allow_option, parse_overrides
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.terminal import Paint
from halo_core.completion import scored_completions
from halo_core.errors import UserError
from halo_core.feedback import BESIDE, further_fields
from halo_core.printing import counted

if TYPE_CHECKING:
    from halo_core.rows import DataSet
    from halo_core.run.materialise import Rows


@click.command()
@click.argument("sources", metavar="NAME|FILE...|SPEC|SUITE[:SET]", nargs=-1, required=True)
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="PATH=VALUE",
    help="Set an option, as in path=hh.jsonl.",
)
@click.option("--split", default=None, help="Read this split of a source. Default: train.")
@click.option("--show", default=3, show_default=True, type=click.IntRange(0), help="Show N rows.")
@click.option(
    "--tokens",
    type=click.IntRange(1),
    metavar="N",
    help="Show N rows of each data set of a spec as the model of a stage sees them.",
)
@click.option(
    "--stage", default=None, metavar="ID", help="The stage for --tokens. Default: the first."
)
@allow_option
@workspace_option
@output_options
def data(
    sources: Sequence[str],
    options: Sequence[str],
    split: str | None,
    show: int,
    tokens: int | None,
    stage: str | None,
    workspace: str,
    output: Output,
) -> None:
    """Preview a data source, files of rows, or the data sets of a spec or suite.

    Shows rows, the number of dropped rows by reason, and lengths.

    \b
    halo data thumbs.csv
    halo data exports/*.csv
    halo data hh --set path=hh-rlhf/helpful-base --split test
    halo data examples/quickstart.yaml:train --tokens 2
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_core.run.materialise import materialise_set, sides_of
    from halo_core.workspace.layout import Workspace

    if tokens is not None:
        _show_tokens(only_spec(sources), options, tokens, stage, workspace, output)
        return
    sets = shown_sets(sources, options, split)
    # A preview leaves nothing in a workspace.
    with tempfile.TemporaryDirectory() as folder:
        place, wanted = Workspace(Path(folder)), sides_of(sets)
        previews = {
            item.name: _describe(materialise_set(item, place, wanted=wanted), show) for item in sets
        }
    if output.json:
        first = next(iter(previews.values())) if len(previews) == 1 else {}
        output.emit({**_total(previews), **first, "sets": previews})
        return
    for name, described in previews.items():
        for line in _lines(name, described):
            output.say(line)


def _show_tokens(
    source: str,
    options: Sequence[str],
    count: int,
    stage: str | None,
    workspace: str,
    output: Output,
) -> None:
    """Shows rows of a spec's data sets as the models see them."""
    from halo_core.run.plan import make_plan
    from halo_core.run.view_rows import COLOURS, marked, view_lines, view_set
    from halo_core.workspace.layout import open_workspace

    path, wanted = spec_and_set(source)
    if not path:
        raise UserError(
            f"{source} is not a spec, so no stage says which model sees the rows; expected a file "
            "such as spec.yaml, or spec.yaml:SET. This command writes a spec: halo init --data "
            f"{source}",
            location="--tokens",
        )
    request = RunRequest(Path(path), parse_overrides(options))
    spec = request.suite().specs[0] if request.is_suite() else request.spec()
    names = wanted_sets(path, wanted, list(spec.sets))
    with tempfile.TemporaryDirectory() as folder:
        # An existing workspace contains the models. Without one, nothing must stay on disk.
        plan = make_plan(spec, open_workspace(workspace if Path(workspace).is_dir() else folder))
        viewed = {name: view_set(plan, name, count, stage) for name in names}
    if output.json:
        output.emit({"sets": {name: asdict(rows) for name, rows in viewed.items()}})
        return
    # https://no-color.org
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    paint = Paint(COLOURS) if coloured else None
    for name, rows in viewed.items():
        output.say(f"{name}, as the stage {rows.stage} sees it with {rows.tokenizer}")
        if rows.template:
            output.say(f"  chat template: {rows.template}")
        for view in rows.rows:
            output.say("")
            for line in view_lines(view, marked if paint is None else paint.part):
                output.say(line if paint is None else paint.line(line))
        output.say("")


def _total(found: dict[str, Any]) -> dict[str, Any]:
    kinds = {described["feedback"] for described in found.values()}
    dropped: dict[str, int] = {}
    for described in found.values():
        for reason, count in described["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + count
    rows = sum(described["rows"] for described in found.values())
    return {"feedback": kinds.pop() if len(kinds) == 1 else None, "rows": rows, "dropped": dropped}


def _describe(rows: Sequence[Rows], show: int) -> dict[str, Any]:
    from halo_core.rows import DataSet
    from halo_core.run.key_sets import Keys
    from halo_core.run.unread import ignored_in, passed_over_in, read_as_in

    loaded = DataSet("", rows[0].feedback, [source.file for source in rows])
    dropped: dict[str, int] = {}
    for source in rows:
        for reason, count in source.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return {
        "feedback": rows[0].feedback,
        "rows": len(loaded),
        "dropped": dropped,
        "ignored_columns": ignored_in(rows),
        "passed_over": passed_over_in(rows),
        "read_as": read_as_in(rows),
        "held_elsewhere": sum(source.held_elsewhere for source in rows),
        "prompts": Keys(row["prompt_id"] for row in loaded.select(("prompt_id",))).distinct(),
        "repeated": _repeated(loaded),
        **_labels(rows[0].feedback, loaded),
        **_turns(rows[0].feedback, loaded),
        **_groups(rows[0].feedback, loaded),
        "characters": _lengths(loaded),
        "examples": [loaded[i] for i in range(min(show, len(loaded)))],
    }


def _repeated(rows: DataSet) -> int:
    """Returns how many rows repeat the content of an earlier row, whatever their ids."""
    from halo_core.run.key_sets import Keys

    beside = ("id", "source")
    contents = (json.dumps({k: v for k, v in row.items() if k not in beside}) for row in rows)
    return len(rows) - Keys(contents).distinct()


def _labels(feedback: str, rows: DataSet) -> dict[str, dict[str, int]]:
    """Returns how many rows have each label, and how many completions have both labels."""
    from halo_core.run.data_checks import class_counts, completions_with_both_labels

    counts = class_counts(rows)
    if feedback != "binary" or counts is None:
        return {}
    return {"labels": {**counts._asdict(), "both": completions_with_both_labels(rows)}}


def _turns(feedback: str, rows: Any) -> dict[str, dict[str, int]]:
    """Returns how many assistant turns are learned, and how many are only part of prompts."""
    from halo_core.run.learned_turns import learned_turns

    if feedback not in ("demonstration", "binary"):
        return {}
    turns = learned_turns(rows)
    return {"turns": {"learned": turns.learned, "history": turns.history}}


def _groups(feedback: str, rows: Any) -> dict[str, Any]:
    """Returns the sizes and scores of groups, for scored feedback with at least one row."""
    from halo_core.run.scored_groups import describe_groups

    return {"groups": describe_groups(rows)} if feedback == "scored" and len(rows) else {}


def _lengths(rows: DataSet) -> dict[str, dict[str, float]]:
    """Returns the median and the largest length of each text column, in characters."""
    # How often each length occurs: there are few lengths and many rows.
    lengths: dict[str, Counter[int]] = {}
    for row in rows:
        for column, value in row.items():
            if column == "prompt":
                found = [sum(len(m["content"]) for m in value)]
            elif column in ("completion", "chosen", "rejected", "text"):
                found = [len(value)]
            elif column == "completions":
                found = [*map(len, value)]
            else:
                continue
            lengths.setdefault(column, Counter()).update(found)
    return {c: {"median": _median(counts), "max": max(counts)} for c, counts in lengths.items()}


def _median(counts: Counter[int]) -> float:
    """Returns the median of numbers from how often each occurs.

    >>> _median(Counter([3, 1, 1])), _median(Counter([1, 2, 2, 5])), _median(Counter([1, 2]))
    (1, 2.0, 1.5)
    """
    numbers = sorted(counts)
    ends = list(accumulate(counts[number] for number in numbers))
    middle = ((ends[-1] - 1) // 2, ends[-1] // 2)
    low, high = (numbers[bisect_right(ends, place)] for place in middle)
    return low if ends[-1] % 2 else (low + high) / 2


def _lines(name: str, described: dict[str, Any]) -> list[str]:
    from halo_core.run.scored_groups import group_lines
    from halo_core.run.unread import unread_lines

    lines = [
        f"{name}: {counted(described['rows'], 'row')} of {described['feedback']} feedback, "
        f"{counted(described['prompts'], 'prompt')}"
    ]
    lines += [f"  {line}" for line in described["read_as"]]
    lines += [f"  dropped {n}: {reason}" for reason, n in described["dropped"].items()]
    unread = unread_lines(described["ignored_columns"], described["passed_over"])
    lines += [f"  {line}" for line in unread]
    if described["repeated"]:
        lines.append(f"  {described['repeated']} repeat an earlier row")
    if described["held_elsewhere"]:
        lines.append(f"  {described['held_elsewhere']} on the other side of the hold-out")
    if labels := described.get("labels"):
        lines.append(f"  {labels['desirable']} desirable, {labels['undesirable']} undesirable")
    if labels and labels["both"]:
        lines.append(f"  completions with both labels: {labels['both']} (see settle-labels)")
    turns = described.get("turns")
    if turns and turns["history"]:
        lines.append(
            f"  learned: {turns['learned']} assistant turns; "
            f"{turns['history']} within prompts are only history"
        )
    if groups := described.get("groups"):
        lines += [f"  {line}" for line in group_lines(groups)]
    for column, lengths in described["characters"].items():
        median, longest = lengths["median"], lengths["max"]
        lines.append(f"  {column}: median {median:,.10g}, max {longest:,} characters")
    for row in described["examples"]:
        lines += ["", *_row_lines(row)]
    return [*lines, ""]


def _row_lines(row: dict[str, Any]) -> list[str]:
    lines = [f"  {row['id']}"]
    if "tools" in row:
        lines.append(f"    {'tools':<11}{_short(row['tools'])}")
    for message in row.get("prompt", []):
        further = further_fields(message)
        lines.append(f"    {message['role']:<11}{_short(_said(message['content'], further))}")
    for column in ("text", "completion", "desirable", "chosen", "rejected"):
        if column in row:
            fields = row.get(BESIDE[column].fields) if column in BESIDE else None
            lines.append(f"    {column:<11}{_short(_said(row[column], fields))}")
    if "completions" in row:
        for said, score in zip(scored_completions(row), row["scores"], strict=False):
            lines.append(f"    {score:<11g}{_short(_said(said.text, said.fields))}")
    return lines


def _said(text: Any, fields: Mapping[str, Any] | None) -> Any:
    """Returns a text, followed by the other fields of its message."""
    return f"{text} {json.dumps(fields, ensure_ascii=False)}".lstrip() if fields else text


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    text = " ".join(text.split())
    return text if len(text) <= 76 else f"{text[:73]}..."
