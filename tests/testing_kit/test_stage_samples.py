"""The test kit gives a stage samples in all their forms, and half-written files of a killed run."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataError, Feedback, SamplesRef, Stage, StageContext, StageResult
from halo_core.testing import check_killed
from halo_core.testing.stages import kills
from halo_core.testing.stages.half_written import half_written
from halo_core.testing.stages.rules import check_seed
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.stage_passed_on import check_stage_passed_on


class Preferred(Stage):
    """Prefers targets to samples, with one mistake."""

    produces: ClassVar = "feedback"
    of: SamplesRef = Field(description="Samples.")
    fault: str = Field(default="", description="Its mistake.")

    def feedback_given(self) -> Feedback:
        return "paired"

    def row(self, sample: dict[str, Any], number: int) -> dict[str, Any]:
        prompt = sample["prompt"][-1:] if self.fault == "one turn" else sample["prompt"]
        id_ = sample["prompt_id"] if self.fault == "one id" else f"{sample['prompt_id']}/{number}"
        sides = [sample["target"], sample["completion"]]
        if self.fault == "strip":
            sides[0] = sides[0].strip()
        if self.fault == "text":
            sides[0] = f"{sides[0]}"
        chosen, rejected = sides[::-1] if self.fault == "swapped" else sides
        row = {"id": id_, "prompt": prompt, "chosen": chosen, "rejected": rejected}
        return row | ({"tools": sample["tools"]} if sample.get("tools") else {})

    def run(self, context: StageContext) -> StageResult:
        text = (context.inputs["of"] / "samples.jsonl").read_text("utf-8")
        lines = text.splitlines() if self.fault == "lines" else text.split("\n")[:-1]
        samples = [json.loads(line) for line in lines]
        if self.fault == "refuses" and not samples[0]["target"]:
            raise DataError("the samples have no targets")
        kept = [s for s in samples if s["target"] or self.fault in ("no target", "text")]
        if self.fault != "equal":
            kept = [s for s in kept if s["target"] != s["completion"]]
        kept = {"ten": kept[:10], "halves": kept[: len(kept) // 4 * 4]}.get(self.fault, kept)
        mean = len(samples) / len(kept) if self.fault == "mean" else 0.0
        out = context.folder / "feedback.jsonl"
        draft = out if self.fault == "in place" else out.with_name("draft.jsonl")
        with draft.open("a" if self.fault == "appends" else "w", encoding="utf-8") as file:
            for number, sample in enumerate(kept):
                file.write(json.dumps(self.row(sample, number)) + "\n")
        draft.replace(out)
        return StageResult({"rows": len(kept), "mean": mean}, "preferred")


class Drawn(Stage):
    """Labels some of its samples, which it draws with a constant seed."""

    produces: ClassVar = "feedback"
    of: SamplesRef = Field(description="Samples.")

    def feedback_given(self) -> Feedback:
        return "binary"

    def run(self, context: StageContext) -> StageResult:
        text = (context.inputs["of"] / "samples.jsonl").read_text("utf-8")
        rows: list[dict[str, Any]] = [json.loads(line) for line in text.split("\n")[:-1]]
        random.Random(7).shuffle(rows)
        with (context.folder / "feedback.jsonl").open("w", encoding="utf-8") as out:
            for row in rows[::2]:
                row = {name: row[name] for name in ("prompt", "completion", "tools") if name in row}
                out.write(json.dumps({**row, "desirable": False}) + "\n")
        return StageResult({}, "labelled")


def test_a_stage_that_draws_with_a_constant_seed_is_found(tmp_path: Path) -> None:
    stage = Drawn(of="samples")
    told = r"same output with two seeds of the run, and its module calls Random\(\)"
    with pytest.raises(AssertionError, match=told):
        check_seed(stage, given_context(stage, tmp_path))


@pytest.mark.parametrize("fault", ["", "refuses"])
def test_a_stage_that_passes_samples_on_is_right(fault: str, tmp_path: Path) -> None:
    stage = Preferred(of="samples", fault=fault)
    check_stage_passed_on(stage, given_context(stage, tmp_path))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no target", r"without targets writes a wrong line 1: column 'chosen': got None"),
        ("mean", r"with samples without targets raised ZeroDivisionError"),
        ("strip", r"'Moo, moo\.' *|which has other blanks at its ends than the one that it reads"),
        ("swapped", r"calls all 7\d good completions of its inputs bad, and all 7\d bad ones good"),
        ("equal", r"row 3\d is a pair with two equal sides"),
        ("text", r"without targets, line 1 of feedback\.jsonl has the completion 'None'"),
        ("lines", r"in all their forms raised JSONDecodeError"),
        ("ten", r"nothing for the last of the 37 prompts .*\(10 rows are written\)"),
        ("halves", r"nothing for the last of the 37 prompts .*\(72 rows are written\)"),
        ("one id", r"gives \d+ ids to different rows"),
        ("one turn", r"of a prompt with \['system', 'user'\], so its beginning is lost"),
    ],
)
def test_a_fault_with_unusual_samples_is_found(fault: str, told: str, tmp_path: Path) -> None:
    stage = Preferred(of="samples", fault=fault)
    with pytest.raises(AssertionError, match=told):
        check_stage_passed_on(stage, given_context(stage, tmp_path))


def test_a_stage_that_appends_to_a_draft_of_a_killed_run_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "_instants", lambda *_: iter([]))
    stage = Preferred(of="samples", fault="appends")
    with pytest.raises(AssertionError, match=r"in the middle of a line of draft\.jsonl"):
        check_killed(stage, given_context(stage, tmp_path))


STEPS = {
    "in place": [("open", "events.jsonl"), ("open", "feedback.jsonl"), ("open", "events.jsonl")],
    "draft": [("open", "some.tmp"), ("rename", "some.tmp", "feedback.jsonl")],
}


@pytest.mark.parametrize(("steps", "cut"), [("in place", "feedback.jsonl"), ("draft", "some.tmp")])
def test_a_half_written_file_ends_in_the_middle_of_a_line(
    steps: str, cut: str, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    done.mkdir()
    for name, text in {"feedback.jsonl": "first\nsecond\n", "events.jsonl": "1", "a": "b"}.items():
        (done / name).write_text(text)
    stage = Preferred(of="samples")
    assert half_written(stage, done, tmp_path / "half", STEPS[steps]) == cut
    left = {path.name: path.read_text() for path in (tmp_path / "half").iterdir()}
    assert left == {"a": "b", cut: "first\nsec"}


def test_no_folder_is_made_if_another_file_was_opened_later(tmp_path: Path) -> None:
    (tmp_path / "feedback.jsonl").write_text("first\nsecond\n")
    stage = Preferred(of="samples")
    for more in ([("open", "done.txt")], [("open", "a"), ("rename", "b", "feedback.jsonl")]):
        steps = [*STEPS["in place"], *more]
        assert half_written(stage, tmp_path, tmp_path / "half", steps) == ""
    assert not (tmp_path / "half").exists()
