"""The test kit compares the samples of a stage without a model with the rows that it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import Feedback, LearnRef, Stage, StageContext, StageResult, TestRef
from halo_core.feedback import prompt_id
from halo_core.testing.advice import KitAdvice
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.stage_passed_on import check_stage_passed_on


class FirstAnswer(Stage):
    """Answers each prompt with the first answer of the rows to learn from, with one mistake."""

    produces: ClassVar = "samples"
    seeded: ClassVar = False
    prompts: TestRef = Field(description="The prompts.")
    memory: LearnRef = Field(description="The rows to learn from.")
    fault: str = Field(default="", description="Its mistake.")

    def feedback_wanted(self) -> dict[str, Feedback]:
        return {"prompts": "paired", "memory": "paired"}

    def run(self, context: StageContext) -> StageResult:
        answers = context.data["prompts" if self.fault == "leak" else "memory"]
        lines: dict[str, Any] = {}
        for number, row in enumerate(context.data["prompts"]):
            line = {"v": 1, "prompt_id": row["prompt_id"], "prompt": row["prompt"], "tokens": 1}
            line["completion"] = answers[0]["chosen"]
            if self.fault == "own id":
                line["prompt_id"] = prompt_id(row["prompt"][-1:], None)
            if self.fault != "no target":
                line["target"] = row["rejected" if self.fault == "target" else "chosen"]
            key = str(number) if self.fault == "each row" else str(row["prompt_id"])
            lines.setdefault(key, line)
        text = "".join(f"{json.dumps(line)}\n" for line in lines.values())
        (context.folder / "samples.jsonl").write_text(text, "utf-8")
        return StageResult({"n": len(lines)}, "answered")


def check(fault: str, folder: Path) -> None:
    stage = FirstAnswer(prompts="rows", memory="rows", fault=fault)
    check_stage_passed_on(stage, given_context(stage, folder))


def test_samples_of_rows_in_all_their_forms_may_be_right(tmp_path: Path) -> None:
    check("", tmp_path)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("own id", r"line \d+ has the prompt_id '\w+', and its prompt has the id '\w+'"),
        ("target", r"\d+ samples have a target that the rows call worse"),
        ("leak", r"other completions of the rows of prompts change the samples"),
    ],
)
def test_a_wrong_sample_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=told):
        check(fault, tmp_path)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no target", "no sample has a target, although the rows have completions"),
        ("each row", r"writes \d+ lines a second time, because several rows have one prompt"),
    ],
)
def test_a_sample_that_may_be_meant_so_is_advice(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.warns(KitAdvice, match=told):
        check(fault, tmp_path)
