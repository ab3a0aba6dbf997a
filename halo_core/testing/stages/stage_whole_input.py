"""Checks that a stage that makes feedback reads its input to the end, and draws with its seed."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.component import Component
from halo_core.feedback import COLUMNS, Feedback, prompt_id
from halo_core.stage import Stage, StageContext
from halo_core.testing.component import expect
from halo_core.testing.rows import data_set
from halo_core.testing.stages.stage_sides import OPT_OUT
from halo_core.workspace.records import SAMPLES, SampleLine

Rows = Sequence[Mapping[str, Any]]
Run = Callable[[StageContext], Rows]

PROMPTS = 37
"""Number of prompts, a prime: a stage that works in batches has a last one that is not full."""

GENERATORS = ("Random", "RandomState", "default_rng", "Generator", "manual_seed", "seed")
"""Names of functions that make or seed a generator of random numbers."""


def check_reads_all(stage: Stage, context: StageContext, run: Run) -> None:
    """Runs a stage with rows of 37 prompts, and with the same rows in the opposite order.

    A stage with more than one input, or with an option that may be a number of rows, is left out.

    Args:
        stage: The stage.
        context: Its inputs, whose rows and samples are replaced. Its folder is not used.
        run: Returns the rows that the stage writes with another context.

    Raises:
        AssertionError: When a prompt is written in one order only, because it is then not the last
            one (or the first one); or when the stage makes a generator of random numbers, and
            never uses the seed of the run.
    """
    samples = [option for option, place in context.inputs.items() if _has_samples(place)]
    if len(context.data) + len(context.inputs) != 1 or len(context.data) + len(samples) != 1:
        return
    with TemporaryDirectory() as name:
        written = []
        for number, seed in enumerate((context.seed, context.seed, context.seed + 1)):
            folder = Path(name) / str(number)
            folder.mkdir()
            asked = range(PROMPTS) if number != 1 else reversed(range(PROMPTS))
            given = _with_rows(context, folder, list(asked))
            written.append(run(replace(given, folder=folder / "stage", seed=seed)))
    first, turned, other_seed = written
    _check_ends(stage, first, turned, other_seed)
    if first == other_seed:
        _check_drawn(stage)


def _has_samples(place: Path) -> bool:
    return (place / SAMPLES.name).is_file()


def _with_rows(context: StageContext, folder: Path, numbers: Sequence[int]) -> StageContext:
    """Returns a context whose only input has one row, or two samples, for each prompt."""
    data, inputs = dict(context.data), dict(context.inputs)
    for option, each in data.items():
        rows = [_row(each.feedback, number) for number in numbers]
        data[option] = data_set(folder, each.feedback, rows, name=f"whole-{option}")
    for option in inputs:
        inputs[option] = folder / "samples"
        inputs[option].mkdir()
        lines = [_sample(number, time) for number in numbers for time in range(2)]
        SAMPLES.write(inputs[option] / SAMPLES.name, lines)
    return replace(context, data=data, inputs=inputs)


def _good(number: int) -> str:
    return f"There are {number + 2} cows on it, and each of them says moo {number + 3} times a day."


def _bad(number: int) -> str:
    return f"I counted {number + 5} goats, {number} hens and no cow on that farm."


def _row(feedback: Feedback, number: int) -> Mapping[str, Any]:
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": _good(number)},
        "prompts": {},
        "demonstration": {"completion": _good(number)},
        "binary": {"completion": _good(number), "desirable": number % 2 == 0},
        "paired": {"chosen": _good(number), "rejected": _bad(number)},
        "scored": {"completions": [_good(number), _bad(number)], "scores": [2.0, 1.0]},
    }
    row = {"id": f"whole-{number}", "prompt": _prompt(number), **columns[feedback]}
    return {name: row[name] for name in (*COLUMNS[feedback], "id") if name in row}


def _prompt(number: int) -> Any:
    return [{"role": "user", "content": f"How many cows live on the farm number {number}?"}]


def _sample(number: int, time: int) -> SampleLine:
    text = _bad(number + 100 * time)
    return SampleLine(
        prompt_id=prompt_id(_prompt(number), None),
        prompt=_prompt(number),
        completion=text,
        tokens=len(text.split()),
        target=_good(number),
        finish="stop",
    )


def _check_ends(stage: Stage, rows: Rows, turned: Rows, other_seed: Rows) -> None:
    def has(written: Rows, number: int) -> bool:
        wanted = _prompt(number)[-1]["content"]
        return any(wanted in json.dumps(row, ensure_ascii=False) for row in written)

    if not rows or not turned or _may_be_limited(stage, len(rows)):
        return
    first, last = 0, PROMPTS - 1
    for what, lost, kept in (("last", last, first), ("first", first, last)):
        # In the opposite order, the same holds for the prompt at the other end.
        at_end = has(rows, kept) and not has(rows, lost)
        turned_too = has(turned, lost) and not has(turned, kept)
        expect(
            not (at_end and turned_too and not has(other_seed, lost)),
            stage,
            f"run() writes nothing for the {what} of the {PROMPTS} prompts that it reads, and "
            f"writes it if it is elsewhere in the input ({len(rows)} rows are written). Is a limit "
            f"of the number of rows forgotten, or the rest of the last batch? {OPT_OUT}",
        )


def _may_be_limited(stage: Stage, count: int) -> bool:
    """Returns whether an option may say how many rows the stage takes."""
    values = [getattr(stage, name) for name in type(stage).model_fields]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return any(number >= count for number in numbers)


def _check_drawn(stage: Stage) -> None:
    """Checks that a stage whose output does not depend on the seed does not draw by a constant."""
    if not stage.seeded:
        return
    nodes = list(_own_code(type(stage)))
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    made = {_name(each) for each in calls}.intersection(GENERATORS)
    # `random.seed(0)` is a call; `context.seed` and `self.seed` are not.
    uses_seed = any(
        isinstance(node, ast.Attribute) and node.attr == "seed" and node not in calls
        for node in nodes
    )
    expect(
        not made or uses_seed,
        stage,
        f"run() gives the same rows with two seeds of the run, and its module calls "
        f"{', '.join(sorted(made))}() and never reads context.seed, so the draw is the same in all "
        "runs; use context.seed, or set the class variable `seeded` to False",
    )


def _own_code(cls: type[Stage]) -> Iterator[ast.AST]:
    """Yields the nodes of a stage's module, without those of other components in it."""
    try:
        tree = ast.parse(Path(inspect.getfile(cls)).read_text("utf-8"))
    except (OSError, TypeError, ValueError):
        return  # A class without a file.
    module = inspect.getmodule(cls)
    for part in tree.body:
        found = getattr(module, part.name, None) if isinstance(part, ast.ClassDef) else None
        if found is cls or not (isinstance(found, type) and issubclass(found, Component)):
            yield from ast.walk(part)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


__all__ = ["check_reads_all"]
