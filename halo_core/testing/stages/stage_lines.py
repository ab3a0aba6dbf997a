"""Checks samples and verdicts that a stage writes for rows in all their forms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.feedback import prompt_id
from halo_core.rows import DataSet
from halo_core.stage import Stage, StageContext
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.rows import data_set
from halo_core.testing.stages.stage_rows import role_of
from halo_core.workspace.records import SAMPLES, VERDICTS

Lines = Sequence[Mapping[str, Any]]
Run = Callable[[StageContext], Lines]

LONG_S = 6.0
"""Seconds of a run from which two more runs are left out."""

OTHER = "Nobody on any farm has ever said {}."
"""A completion that replaces those of the rows that are answered."""


def check_lines_of(stage: Stage, context: StageContext, run: Run) -> None:
    """Checks the lines of a stage that makes samples or verdicts, without a model.

    Args:
        stage: The stage.
        context: Its inputs, with rows and samples in all their forms. Its folder is not used.
        run: Returns the lines that the stage writes with another context.

    Raises:
        AssertionError: When a line has another prompt_id than its prompt; when the target of a
            sample is the rejected or the undesirable completion; or when a stage that learns from
            some rows copies the answers of those that it is tested on.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.monotonic()
        lines = run(replace(context, folder=folder / "lines"))
        is_quick = time.monotonic() - begun < LONG_S
        _check_prompt_ids(stage, lines, _known(context))
        _advise_on_repeats(stage, lines)
        if stage.produces == "samples" and context.data:
            _check_targets(stage, context, lines)
            if is_quick:
                _check_copies(stage, context, folder, run)


def lines_in(stage: Stage, folder: Path) -> Lines:
    """Returns the samples or verdicts that a stage wrote.

    Args:
        stage: The stage.
        folder: Its folder.
    """
    file = SAMPLES if stage.produces == "samples" else VERDICTS
    return [dict(line) for line in file.read_finished(folder / file.name, None)]


def _advise_on_repeats(stage: Stage, lines: Lines) -> None:
    texts = [json.dumps(line, sort_keys=True, default=str) for line in lines]
    again = len(texts) - len(set(texts))
    if again and not stage.seeded:
        advise(
            stage,
            f"run() writes {again} lines a second time, because several rows have one prompt; a "
            "judge stage counts each of them. Answer each prompt_id once",
        )


def _known(context: StageContext) -> Mapping[str, set[str]]:
    """Returns the ids of each prompt in the inputs. The same messages may come with other tools."""
    found: dict[str, set[str]] = {}
    sampled = (place / SAMPLES.name for place in context.inputs.values())
    files = [SAMPLES.read_finished(file, None) for file in sampled if file.is_file()]
    for row in (*_rows(context.data.values()), *(line for file in files for line in file)):
        if row.get("prompt"):
            found.setdefault(_text(row["prompt"]), set()).add(row["prompt_id"])
    return found


def _text(prompt: Any) -> str:
    return json.dumps(prompt, sort_keys=True)


def _check_prompt_ids(stage: Stage, lines: Lines, known: Mapping[str, set[str]]) -> None:
    for number, line in enumerate(lines, start=1):
        right = known.get(_text(line["prompt"])) or {
            prompt_id(line["prompt"], line.get("tools")),
            prompt_id(line["prompt"], None),
        }
        expect(
            line["prompt_id"] in right,
            stage,
            f"line {number} has the prompt_id {line['prompt_id']!r}, and its prompt has the id "
            f"{min(right)!r}, so it cannot be compared with lines of other stages; copy the "
            "prompt_id and the prompt of the row",
        )


def _check_targets(stage: Stage, context: StageContext, lines: Lines) -> None:
    good: dict[str, set[str]] = {}
    bad: dict[str, set[str]] = {}
    for row in _rows(context.data.values()):
        for text, is_good in _answers(row):
            (good if is_good else bad).setdefault(row["prompt_id"], set()).add(text)
    targets = [(line["prompt_id"], line["target"]) for line in lines if line.get("target")]
    wrong = [
        text
        for asked, text in targets
        if text in bad.get(asked, ()) and text not in good.get(asked, ())
    ]
    expect(
        not wrong,
        stage,
        f"{len(wrong)} samples have a target that the rows call worse, such as {wrong[:1]}; "
        "expected the chosen, the desirable or the best completion",
    )
    if good and not targets:
        advise(
            stage,
            "no sample has a target, although the rows have completions; a judge stage compares "
            "with them unless its spec says otherwise",
        )


def _check_copies(stage: Stage, context: StageContext, folder: Path, run: Run) -> None:
    """Checks that a stage with rows to learn from does not read the answers of its test."""
    tested = [option for option in context.data if role_of(stage, option) == "test"]
    if not tested or not any(role_of(stage, option) == "learn" for option in context.data):
        return
    told = []
    for name in ("usual", "changed"):
        (folder / name).mkdir()
        data = dict(context.data)
        if name == "changed":
            for option in tested:
                data[option] = _with_other_answers(folder / name, data[option])
        lines = run(replace(context, folder=folder / name / "stage", data=data))
        told.append([line["completion"] for line in lines])
    expect(
        told[0] == told[1],
        stage,
        f"other completions of the rows of {', '.join(tested)} change the samples, although the "
        "stage has rows to learn from; expected it to read the prompts only, because a test whose "
        "answers are known says nothing. The target of a sample may be such a completion",
    )


def _rows(sets: Any) -> Iterator[Mapping[str, Any]]:
    for data in sets:
        yield from (data[i] for i in range(len(data)))


def _answers(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    if "chosen" in row:
        yield row["chosen"], True
        yield row["rejected"], False
    elif "desirable" in row:
        yield row["completion"], bool(row["desirable"])
    elif "completions" in row:
        best = max(row["scores"])
        for text, score in zip(row["completions"], row["scores"], strict=True):
            yield text, score == best
    elif "completion" in row:
        yield row["completion"], True


def _with_other_answers(folder: Path, data: DataSet) -> DataSet:
    rows = []
    for number, row in enumerate(_rows([data])):
        other = dict(row)
        for place, name in enumerate(("completion", "chosen", "rejected")):
            if isinstance(row.get(name), str):
                other[name] = OTHER.format(f"{number}-{place}")
        if row.get("completions"):
            texts = range(len(row["completions"]))
            other["completions"] = [OTHER.format(f"{number}-{n}") for n in texts]
        rows.append(other)
    return data_set(folder, data.feedback, rows, name=data.name)


__all__ = ["check_lines_of", "lines_in"]
