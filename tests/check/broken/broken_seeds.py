"""Stages that use the seed of the run wrongly, or change what is not theirs."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from halo_core import Stage, StageContext, StageResult, TestRef
from halo_core.workspace.records import SAMPLES, SampleLine

ELSEWHERE = Path(tempfile.gettempdir()) / f"halo-broken-seeds-{os.getpid()}.txt"


class Draws(Stage):
    """Answers each prompt with a number that is drawn with the seed of the run."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "samples"

    prompts: TestRef = Field(description="The prompts.")

    def number(self, context: StageContext) -> float:
        return random.Random(context.seed).random()

    def run(self, context: StageContext) -> StageResult:
        lines = [
            SampleLine(
                prompt_id=row["prompt_id"],
                prompt=row["prompt"],
                completion=f"{self.number(context)}",
                tokens=1,
                target=row.get("chosen"),
            )
            for row in context.data["prompts"]
        ]
        SAMPLES.write(context.folder / SAMPLES.name, lines)
        return StageResult({"n": len(lines)}, "drawn")


class OwnSeed(Draws):
    """Draws with a seed of its own."""

    breaks = "seed"

    def number(self, context: StageContext) -> float:
        return random.Random(7).random()


class NoChance(Draws):
    """Draws nothing, and says nothing about it."""

    breaks = "seed"

    def number(self, context: StageContext) -> float:
        return 0.5


class HidesItsSeed(Draws):
    """Draws with the seed, although its class denies it."""

    breaks = "seed"
    seeded: ClassVar = False


class MovesAway(Draws):
    """Changes the current folder of the process."""

    breaks = "runs"

    def number(self, context: StageContext) -> float:
        os.chdir(context.folder)
        return super().number(context)


class WritesFarAway(Draws):
    """Writes a file that no other stage finds."""

    breaks = "runs"

    def number(self, context: StageContext) -> float:
        ELSEWHERE.write_text("drawn")
        return super().number(context)
