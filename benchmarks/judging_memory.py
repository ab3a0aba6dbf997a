"""Measures the memory and the processor time of the stages `judge` and `label` on tiny samples.

    python benchmarks/judging_memory.py label 15000
    python benchmarks/judging_memory.py label 60000

Call it once for each size: the largest resident memory of a process never falls.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison, Judge, Verdict
from halo_core.scoring_judge import Answer, Score, ScoringJudge
from halo_core.testing.context import stage_context
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.label_stage.options import Label


class Longer(Judge):
    """Prefers the longer text."""

    def check_ready(self) -> None:
        """Needs nothing."""

    def quote(self, comparisons: Any, shared: Any) -> None:
        """Costs nothing."""

    def open(self, context: Any) -> Any:
        """Returns a session."""
        return nullcontext(self)

    def compare(self, comparisons: Iterable[Comparison]) -> Iterator[Verdict]:
        """Yields a verdict on each comparison."""
        for each in comparisons:
            yield Verdict(each.id, "A" if len(each.a) > len(each.b) else "B")


class Length(ScoringJudge):
    """Scores a completion by its length."""

    def open_scoring(self, context: Any) -> Any:
        """Returns a session."""
        return nullcontext(self)

    def score(self, answers: Iterable[Answer]) -> Iterator[Score]:
        """Yields a score of each answer."""
        for each in answers:
            yield Score(each.id, float(len(each.completion)))


def write_samples(folder: Path, count: int) -> None:
    """Writes samples of one prompt each, with texts of up to 60 characters."""
    folder.mkdir()
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            sample = {
                "prompt_id": f"{number * 7919:016x}",
                "prompt": [{"role": "user", "content": f"q {number}"}],
                "completion": f"answer{' ' * (number % 50)}{number}",
                "target": f"t {number}" * (1 + number % 9),
                "tokens": 3,
                "finish": "stop",
            }
            file.write(json.dumps(sample) + "\n")


def main() -> None:
    """Runs one stage, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["judge", "label"])
    parser.add_argument("samples", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder) / "of", given.samples)
        context = stage_context(Path(folder) / "stage", inputs={"of": Path(folder) / "of"})
        begun = time.process_time()
        if given.stage == "judge":
            JudgeStage(judge=Longer(), of="of").run(context)
        else:
            Label(judge=Length(), of="of", feedback="binary", threshold="median").run(context)
        took = time.process_time() - begun
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{given.stage}, {given.samples:,} samples: {took:.1f} s, {largest / 1000:.1f} MB")


if __name__ == "__main__":
    main()
