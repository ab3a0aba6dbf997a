"""Checks the rows that a stage wrote against its promises and against its inputs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import COLUMNS, Feedback
from halo_core.guarded.stage_calls import PROMISED, feedback_given_of
from halo_core.hashing import file_hash
from halo_core.stage import Stage, StageContext, StopFlag
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.workspace.records import SAMPLES

COMPLETIONS = ("completion", "chosen", "rejected")
"""Columns of a row that hold the text of a completion."""


class AskedFlag(StopFlag):
    """A stop flag that notes whether anybody asked it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def is_set(self) -> bool:
        """Returns whether it is set, and notes the question."""
        self.asked = True
        return super().is_set()

    def at_once(self, kept: str) -> Any:
        """Notes the question; see `StopFlag.at_once`."""
        self.asked = True
        return super().at_once(kept)


def check_rows_of(stage: Stage, context: StageContext, metrics: Mapping[str, float]) -> None:
    """Checks the rows of a finished stage that produces feedback, and gives advice on others.

    Args:
        stage: The stage.
        context: Its context, with its inputs.
        metrics: Its metrics.

    Raises:
        AssertionError: When rows of feedback are of another kind than `feedback_given` says, or
            have an empty completion although no input has one.
    """
    file = context.folder / PROMISED[stage.produces]
    if not file.is_file():
        return
    rows = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    _advise_on_counts(stage, file, rows, metrics)
    if stage.produces != "feedback":
        return
    _check_kind(stage, file, rows, feedback_given_of(stage))
    read = list(_inputs(context))
    if not read:
        return
    for number, row in enumerate(rows, start=1):
        empty = [name for name in COMPLETIONS if row.get(name) == ""]
        expect(
            not empty,
            stage,
            f"line {number} of {file.name}: run() wrote an empty {empty[0] if empty else ''!r}, "
            "and no input has one; leave such a row out and count it",
        )
    _advise_on_origin(stage, file, rows, read)


def _check_kind(
    stage: Stage, file: Path, rows: Sequence[Mapping[str, Any]], given: Feedback
) -> None:
    """Checks that rows are not of a kind with more columns than the promised one."""
    promised = set(COLUMNS[given])
    for kind, columns in COLUMNS.items():
        if promised < set(columns) and rows and all(set(columns) <= set(row) for row in rows):
            more = ", ".join(map(repr, sorted(set(columns) - promised)))
            expect(
                False,
                stage,
                f"feedback_given() says {given!r}, and the rows of {file.name} also have {more}, "
                f"which makes them {kind!r}; a training would not see it. Return {kind!r}, or "
                "leave the column out",
            )


def _advise_on_counts(
    stage: Stage, file: Path, rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, float]
) -> None:
    said = metrics.get("rows")
    if said is not None and said != len(rows):
        advise(stage, f"the metric 'rows' of run() is {said:g}, and {file.name} has {len(rows)}")
    texts = Counter(json.dumps(row, sort_keys=True) for row in rows)
    if stage.produces == "feedback" and len(rows) > 1 and min(texts.values()) > 1:
        advise(stage, f"run() writes each row of {file.name} {min(texts.values())} times")


def _inputs(context: StageContext) -> Iterator[Mapping[str, Any]]:
    """Yields the rows and the samples that a stage reads."""
    for data in context.data.values():
        yield from (data[i] for i in range(len(data)))
    for folder in context.inputs.values():
        if (folder / SAMPLES.name).is_file():
            yield from SAMPLES.read_finished(folder / SAMPLES.name, None)


def _advise_on_origin(
    stage: Stage,
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    read: Sequence[Mapping[str, Any]],
) -> None:
    """Advises if a prompt, or each completion, is not one that the stage read."""
    prompts = {json.dumps(row["prompt"], sort_keys=True) for row in read if "prompt" in row}
    written = [json.dumps(row["prompt"], sort_keys=True) for row in rows if "prompt" in row]
    if prompts and written and not prompts.intersection(written):
        advise(stage, f"run() writes no prompt into {file.name} that its inputs have")
    known = json.dumps([list(row.values()) for row in read], default=str)
    texts = [row[name] for row in rows for name in COMPLETIONS if isinstance(row.get(name), str)]
    if texts and not any(json.dumps(text)[1:-1] in known for text in texts):
        advise(stage, f"run() writes no completion into {file.name} that its inputs have")


def lines_of(stage: Stage, folder: Path) -> str:
    """Returns the hash of the lines that a stage wrote; "" for a model.

    Args:
        stage: The stage.
        folder: Its folder.
    """
    file = folder / PROMISED[stage.produces]
    return file_hash(file) if file.is_file() else ""


__all__ = ["AskedFlag", "check_rows_of", "lines_of"]
