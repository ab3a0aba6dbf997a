"""The test kit gives stages alike conversations, groups without a best answer, and other kinds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import (
    DataRef,
    Feedback,
    RivalRef,
    SamplesRef,
    Stage,
    StageContext,
    StageResult,
    TestRef,
)
from halo_core.check import stage_rules
from halo_core.check.rule import NotHereError
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.stage_passed_on import check_stage_passed_on


class Unique(Stage):
    """Passes on each pair once."""

    produces: ClassVar = "feedback"
    seeded: ClassVar = False
    rows: DataRef = Field(description="Pairs.")
    whole: bool = Field(default=True, description="Whether it compares whole prompts.")

    def feedback_given(self) -> Feedback:
        return "paired"

    def pairs(self, context: StageContext) -> Iterator[Mapping[str, Any]]:
        seen: set[str] = set()
        for row in context.data["rows"]:
            prompt = [row["prompt_id"]] if self.whole else row["prompt"][-1:]
            key = json.dumps([prompt, row["chosen"], row["rejected"]])
            if key not in seen:
                yield {name: value for name, value in row.items() if name != "prompt_id"}
            seen.add(key)

    def run(self, context: StageContext) -> StageResult:
        kept = list(self.pairs(context))
        text = "".join(json.dumps(row) + "\n" for row in kept)
        (context.folder / "feedback.jsonl").write_text(text, "utf-8")
        given = sum(map(len, context.data.values()))
        return StageResult({"rows": len(kept), "repeats": given - len(kept)})


class Extremes(Unique):
    """Makes a pair of the best and the worst completion."""

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        return {"rows": "scored"}

    def pairs(self, context: StageContext) -> Iterator[Mapping[str, Any]]:
        for row in context.data["rows"]:
            scores, texts = row["scores"], row["completions"]
            if self.whole and len({*scores}) < 2:
                continue
            best, worst = (scores.index(each(scores)) for each in (max, min))
            made = {"chosen": texts[best], "rejected": texts[worst], "prompt": row["prompt"]}
            yield made | ({"tools": row["tools"]} if row.get("tools") else {})


class PassesLabels(Unique):
    """Passes on labelled completions, some of which two people do not agree on."""

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        return {"rows": "binary"}

    def feedback_given(self) -> Feedback:
        return "binary"

    def pairs(self, context: StageContext) -> Iterator[Mapping[str, Any]]:
        for row in context.data["rows"]:
            line = {name: value for name, value in row.items() if name != "prompt_id"}
            yield line
            if not self.whole:
                yield {**line, "id": f"{line['id']}-too", "desirable": True}


class Repeats(Stage):
    """Answers each prompt with its beginning."""

    produces: ClassVar = "samples"
    seeded: ClassVar = False
    prompts: TestRef = Field(description="Prompts.")
    fault: str = Field(default="", description="Its mistake.")

    def target(self, row: Mapping[str, Any]) -> str | None:
        if "completions" in row:
            return str(row["completions"][row["scores"].index(max(row["scores"]))])
        if row.get("desirable") is False and not self.fault:
            return None
        return str(row["completion"])

    def run(self, context: StageContext) -> StageResult:
        lines = {}
        for row in context.data["prompts"]:
            target = row["chosen"] if "chosen" in row else self.target(row)
            said = str(row["prompt"][-1]["content"])[:20]
            line: dict[str, Any] = {"v": 1, "prompt_id": row["prompt_id"], "prompt": row["prompt"]}
            line |= {"completion": said, "tokens": 1, "tools": row.get("tools"), "target": target}
            lines.setdefault(row["prompt_id"], line)
        text = "".join(json.dumps(line) + "\n" for line in lines.values())
        (context.folder / "samples.jsonl").write_text(text, "utf-8")
        return StageResult({"rows": len(lines)})


@pytest.mark.parametrize(
    "stage", [Unique(rows="rows"), Extremes(rows="rows"), PassesLabels(rows="rows")]
)
def test_a_stage_that_reads_whole_prompts_and_scores_is_right(stage: Stage, tmp_path: Path) -> None:
    check_stage_passed_on(stage, given_context(stage, tmp_path))


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (Unique(rows="rows", whole=False), "1 if the first message differs"),
        (Extremes(rows="rows", whole=False), "a pair with two equal sides"),
        (PassesLabels(rows="rows", whole=False), "as desirable and as undesirable, and no input"),
    ],
)
def test_a_stage_that_joins_prompts_or_pairs_equal_texts_is_found(
    stage: Stage, told: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=told):
        check_stage_passed_on(stage, given_context(stage, tmp_path))


def test_a_stage_that_names_no_kind_gets_rows_of_each_kind(tmp_path: Path) -> None:
    right, broken = (Repeats(prompts="rows", fault=fault) for fault in ("", "labels"))
    for stage, name in ((right, "right"), (broken, "broken")):
        (tmp_path / name).mkdir()
        context = given_context(stage, tmp_path / name)
        if stage is right:
            check_stage_passed_on(stage, context)
            continue
        with pytest.raises(AssertionError, match="target that the rows call worse"):
            check_stage_passed_on(stage, context)


class OfAnother(Repeats):
    """Names a stage with samples and perhaps their opponent."""

    of: SamplesRef = Field(description="Samples.")
    against: RivalRef = Field(default="target", description="The opponent.")


@pytest.mark.parametrize("against", ["target", "others"])
def test_a_stage_gets_samples_for_any_name_of_a_stage(against: str, tmp_path: Path) -> None:
    context = given_context(OfAnother(prompts="train", of="answers", against=against), tmp_path)
    assert [*context.inputs] == (["of"] if against == "target" else ["of", "against"])


class Slow(Unique):
    """Takes some time for each row."""

    def run(self, context: StageContext) -> StageResult:
        time.sleep(0.002 * sum(map(len, context.data.values())))
        return super().run(context)


def test_a_slow_stage_is_not_blamed_for_the_many_rows_of_the_kit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage_rules, "SLOW_S", 0.01)
    rules = {rule.name: rule for rule in stage_rules.stage_rules(full=False)}
    for name in ("passed-on", "other-options", "elsewhere"):
        with pytest.raises(NotHereError, match="for the few rows of the rule 'runs'"):
            rules[name].check(Slow(rows="rows"))
