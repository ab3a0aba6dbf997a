"""Makes rows and samples with one prompt for each number, for a stage with a single input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from halo_core.feedback import COLUMNS, Feedback, prompt_id
from halo_core.stage import StageContext
from halo_core.testing.rows import data_set
from halo_core.workspace.records import SAMPLES, SampleLine


class Numbered(NamedTuple):
    """A prompt with two answers.

    Attributes:
        number: The number in the prompt, which no other prompt has.
        good: The better answer.
        bad: The worse answer.
        turns: The messages of the prompt, if they are others.
    """

    number: int
    good: str
    bad: str
    turns: Sequence[Mapping[str, str]] = ()

    @property
    def prompt(self) -> Any:
        """The messages of the prompt."""
        return list(self.turns) or prompt_of(self.number)


def usual(number: int) -> Numbered:
    """Returns a prompt with two answers of a usual length.

    Args:
        number: The number of the prompt.
    """
    return Numbered(
        number,
        f"There are {number + 2} cows on it, and each of them says moo {number + 3} times a day.",
        _counted(number),
    )


def _counted(number: int) -> str:
    return f"I counted {number + 5} goats, {number} hens and no cow on that farm."


def prompt_of(number: int) -> Any:
    """Returns the messages of the prompt with a number."""
    return [{"role": "user", "content": f"How many cows live on the farm number {number}?"}]


def has_single_input(context: StageContext) -> bool:
    """Returns whether a stage reads one set of rows, or the samples of one stage, and no more.

    Args:
        context: Its inputs.
    """
    samples = [place for place in context.inputs.values() if (place / SAMPLES.name).is_file()]
    return len(context.data) + len(context.inputs) == 1 == len(context.data) + len(samples)


def with_numbered(context: StageContext, folder: Path, asked: Sequence[Numbered]) -> StageContext:
    """Returns a context whose only input has one row, or two samples, for each prompt.

    Args:
        context: The inputs of a stage with a single input.
        folder: An existing folder for the new input.
        asked: The prompts.
    """
    data, inputs = dict(context.data), dict(context.inputs)
    for option, each in data.items():
        rows = [_row(each.feedback, one) for one in asked]
        data[option] = data_set(folder, each.feedback, rows, name=f"whole-{option}")
    for option in inputs:
        inputs[option] = folder / "samples"
        inputs[option].mkdir()
        lines = [_sample(one, time) for one in asked for time in range(2)]
        SAMPLES.write(inputs[option] / SAMPLES.name, lines)
    return replace(context, data=data, inputs=inputs)


def _row(feedback: Feedback, one: Numbered) -> Mapping[str, Any]:
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": one.good},
        "prompts": {},
        "demonstration": {"completion": one.good},
        "binary": {"completion": one.good, "desirable": one.number % 2 == 0},
        "paired": {"chosen": one.good, "rejected": one.bad},
        "scored": {"completions": [one.good, one.bad], "scores": [2.0, 1.0]},
    }
    row = {"id": f"whole-{one.number}", "prompt": one.prompt, **columns[feedback]}
    return {name: row[name] for name in (*COLUMNS[feedback], "id") if name in row}


def _sample(one: Numbered, time: int) -> SampleLine:
    """Returns a sample with the worse answer, and for usual prompts another one the second time."""
    again = one.bad == _counted(one.number)
    text = _counted(one.number + 100 * time) if again else one.bad * (time + 1)
    return SampleLine(
        prompt_id=prompt_id(one.prompt, None),
        prompt=one.prompt,
        completion=text,
        tokens=len(text.split()),
        target=one.good,
        finish="stop",
    )


__all__ = [
    "Numbered",
    "has_single_input",
    "prompt_of",
    "usual",
    "with_numbered",
]
