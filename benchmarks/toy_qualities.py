"""Measures how right, rude and long a run's completions on the toy world are.

    python benchmarks/toy_qualities.py RUN      such as workspace/runs/quickstart-faee57

It prints a row for each stage that samples, and one for the targets, which are the preferred
completions of the data for the same prompts. A row has the share of right and of rude completions,
the mean number of words and the median number of tokens. `docs/evidence/toy-world.md` has the rows
for the quickstart.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median

from halo_core.feedback import Prompt
from halo_core.workspace.records import RUN, SAMPLES, SampleLine
from halo_data.toy import utility

HEAD = ("", "n", "right", "rude", "words", "median tokens")


def rows(run: Path) -> Iterator[tuple[str, ...]]:
    """Yields a row for the targets and one for each stage that samples."""
    lines: list[SampleLine] = []
    found = []
    record = RUN.read(run)
    for stage in record.get("stages", []) if record else []:
        if stage["product"] == "samples":
            folder = run.parents[1] / stage["folder"]
            lines = list(SAMPLES.read(folder / SAMPLES.name))
            texts = [(line["prompt"], line["completion"]) for line in lines]
            found.append(row(stage["id"], texts, [line["tokens"] for line in lines]))
    targets = [(line, line.get("target"), line.get("target_tokens")) for line in lines]
    pairs = [(line["prompt"], text) for line, text, _ in targets if text]
    yield row("target", pairs, [tokens for _, _, tokens in targets if tokens])
    yield from found


def row(name: str, texts: Sequence[tuple[Prompt, str]], tokens: Sequence[int]) -> tuple[str, ...]:
    """Returns the row for some completions."""
    qualities = [utility(prompt, text) for prompt, text in texts]
    return (
        name,
        str(len(qualities)),
        f"{mean(quality.right for quality in qualities):.2f}",
        f"{mean(quality.rude for quality in qualities):.2f}",
        f"{mean(quality.words for quality in qualities):.1f}",
        f"{median(tokens):g}",
    )


if __name__ == "__main__":
    for cells in (HEAD, *rows(Path(sys.argv[1]))):
        print(f"{cells[0]:<14}" + "".join(f"{cell:>15}" for cell in cells[1:]))
