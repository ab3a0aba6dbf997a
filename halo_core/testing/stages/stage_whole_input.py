"""Checks that a stage that makes feedback reads its input to the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.stage import Stage, StageContext
from halo_core.testing.component import expect
from halo_core.testing.stages.stage_numbered_rows import (
    has_single_input,
    prompt_of,
    usual,
    with_numbered,
)
from halo_core.testing.stages.stage_sides import OPT_OUT

Rows = Sequence[Mapping[str, Any]]
Run = Callable[[StageContext], Rows]

PROMPTS = 37
"""Number of prompts, a prime: a stage that works in batches has a last one that is not full."""


def check_reads_all(stage: Stage, context: StageContext, run: Run) -> None:
    """Runs a stage with rows of 37 prompts, and with the same rows in the opposite order.

    A stage with more than one input, or with an option that may be a number of rows, is left out.

    Args:
        stage: The stage.
        context: Its inputs, whose rows and samples are replaced. Its folder is not used.
        run: Returns the rows that the stage writes with another context.

    Raises:
        AssertionError: When a prompt is written in one order only, because it is then not the last
            one (or the first one).
    """
    if not has_single_input(context):
        return
    with TemporaryDirectory() as name:
        written = []
        for number, seed in enumerate((context.seed, context.seed, context.seed + 1)):
            folder = Path(name) / str(number)
            folder.mkdir()
            asked = range(PROMPTS) if number != 1 else reversed(range(PROMPTS))
            given = with_numbered(context, folder, [*map(usual, asked)])
            written.append(run(replace(given, folder=folder / "stage", seed=seed)))
    first, turned, other_seed = written
    _check_ends(stage, first, turned, other_seed)


def _check_ends(stage: Stage, rows: Rows, turned: Rows, other_seed: Rows) -> None:
    def has(written: Rows, number: int) -> bool:
        wanted = prompt_of(number)[-1]["content"]
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


__all__ = ["check_reads_all"]
