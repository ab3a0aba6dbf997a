"""Makes samples in all their forms for a stage that reads samples: tools, turns, no target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from halo_core.feedback import prompt_id
from halo_core.stage import StageContext
from halo_core.testing.data.mixed_rows import mixed_rows
from halo_core.workspace.records import SAMPLES, SampleLine

MOST = 40
"""Number of rows of `MixedRows` that are sampled. The first ones have something special."""

TIMES = 2
"""Number of samples of each prompt."""

ANSWER = "Kühe rufen muh: 牛 🐄, {} times"
"""A sample. Its letters are not in ASCII."""

BREAK = "A cow says moo.\u2028It says so twice.\x85And again."
"""A sample with line breaks of Unicode, which JSON may hold as they are."""

SAME, EMPTY, BROKEN = 20, 22, 24
"""Numbers of the rows whose first sample is equal to its target, empty, or `BREAK`."""

LONG = 10_000
"""Characters of a target from which its samples are as long as an eighth of this."""

FIELDS = {"reasoning_content": "I count the cows."}
"""Further fields of the message of each second sample."""


def mixed_samples(folder: Path, context: StageContext, *, with_targets: bool) -> Mapping[str, Path]:
    """Returns the inputs of a stage, with samples in all their forms in place of its samples.

    Each prompt has several samples.

    Args:
        folder: A folder for them.
        context: The context with the inputs of the stage.
        with_targets: Whether the samples have targets. Those of data without text have none.
    """
    inputs = dict(context.inputs)
    for option, place in context.inputs.items():
        if (place / SAMPLES.name).is_file():
            inputs[option] = folder / f"samples-{option}"
            inputs[option].mkdir(parents=True)
            SAMPLES.write(inputs[option] / SAMPLES.name, _samples(with_targets))
    return inputs


def _samples(with_targets: bool) -> Iterator[SampleLine]:
    for number, row in enumerate(mixed_rows("demonstration", "train")[:MOST]):
        for time in range(TIMES):
            text = ANSWER.format(TIMES * number + time + 1)
            if not time:
                special = {SAME: row["completion"], EMPTY: "", BROKEN: BREAK}
                text = special.get(number, text)
            if len(row["completion"]) > LONG:
                text = row["completion"][: LONG // 8]
            line = SampleLine(
                prompt_id=prompt_id(row["prompt"], row.get("tools")),
                prompt=row["prompt"],
                completion=text,
                tokens=len(text),
                target=row["completion"] if with_targets else None,
                finish="stop",
            )
            if row.get("tools"):
                line["tools"] = row["tools"]
            if time:
                line["completion_fields"] = dict(FIELDS)
            if with_targets and row.get("completion_fields"):
                line["target_fields"] = row["completion_fields"]
            yield line


__all__ = ["mixed_samples"]
