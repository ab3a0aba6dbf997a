"""The test kit runs a stage with few rows, with rows that it may leave out, and with two models."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataError, DataRef, Feedback, ModelRef, Stage, StageContext, StageResult
from halo_core.stage import Inputs
from halo_core.testing.stages.stage_counted import check_counted
from halo_core.testing.stages.stage_draws import draws_alone
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.stage_shapes import check_shapes


class LongPairs(Stage):
    """Keeps pairs with a long side, and counts the others."""

    produces: ClassVar = "feedback"
    seeded: ClassVar = False
    rows: DataRef = Field(description="Pairs.")
    fault: str = Field(default="", description="Its mistake.")
    most: int = Field(default=1000, ge=1, description="Most rows.")
    min_characters: int = Field(default=20, ge=1, description="Fewest characters of a side.")

    def feedback_given(self) -> Feedback:
        return "paired"

    def kept(self, context: StageContext) -> Iterator[dict[str, Any]]:
        for row in context.data["rows"]:
            if len(row["chosen"]) >= self.min_characters:
                yield {name: row[name] for name in ("prompt", "chosen", "rejected")}

    def run(self, context: StageContext) -> StageResult:
        kept, given = list(self.kept(context))[: self.most], len(context.data["rows"])
        if self.fault in ("by prompt", "counts by prompt"):
            kept = [*{json.dumps(row["prompt"]): row for row in kept}.values()]
        with (context.folder / "feedback.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in kept)
        numbers: dict[str, float] = {"rows": len(kept)}
        lengths = [len(row["chosen"]) for row in kept]
        match self.fault:
            case "mean":
                numbers["mean"] = sum(lengths) / len(lengths)
            case "spread":
                numbers["spread"] = statistics.stdev(lengths)
            case "refuses" if len(kept) < 2:
                raise DataError("too few rows are long enough")
            case "by prompt":
                short = given - len(list(self.kept(context)))
                return StageResult({**numbers, "left_out": short})
            case "silent":
                return StageResult(numbers, f"kept {len(kept)} rows")
            case "warns":
                context.events.append("warning", stage=context.id, message=f"{given} rows")
                return StageResult(numbers)
        return StageResult({**numbers, "left_out": given - len(kept)})


def check(folder: Path, fault: str, **options: Any) -> None:
    stage = LongPairs(rows="rows", fault=fault, **options)
    folder.mkdir(exist_ok=True)
    check_counted(stage, given_context(stage, folder))


@pytest.mark.parametrize("fault", ["", "refuses", "warns", "counts by prompt"])
def test_a_stage_that_counts_what_it_leaves_out_is_right(fault: str, tmp_path: Path) -> None:
    check(tmp_path, fault)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("mean", r"run\(\) with a single row of very short texts raised ZeroDivisionError"),
        ("spread", r"run\(\) with a single row raised StatisticsError"),
        ("by prompt", r"of two rows of each prompt only one, and no metric"),
        ("silent", r"13 further rows with very short texts change neither the rows"),
    ],
)
def test_a_stage_that_fails_with_few_rows_or_hides_some_is_found(
    fault: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=told):
        check(tmp_path, fault)


def test_a_number_that_may_be_a_limit_of_rows_explains_it(tmp_path: Path) -> None:
    check(tmp_path, "silent", most=4)
    check(tmp_path / "all", "silent", most=13)


class Averages(Stage):
    """Would average two models."""

    produces: ClassVar = "model"
    one: ModelRef = Field(description="A model.")
    other: ModelRef = Field(description="Another model.")
    says: bool = Field(default=True, description="Whether it says that models do not suit it.")

    def check_inputs(self, inputs: Inputs) -> Iterator[tuple[str, str]]:
        sizes = {_size(model.path) for model in inputs.models.values() if model}
        if self.says and len(sizes) > 1:
            yield "other", "has another shape"

    def run(self, context: StageContext) -> StageResult:
        for one, other in zip(*map(_weights, _paths(context)), strict=True):
            assert one == other, "cannot be added"
        (context.folder / "model").mkdir()
        (context.folder / "model" / "config.json").write_text("{}")
        return StageResult({})


def _paths(context: StageContext) -> list[str]:
    return [context.models[name].path for name in ("one", "other")]


def _weights(path: str) -> list[int]:
    return [Path(path, "model.safetensors").stat().st_size]


def _size(path: str) -> int:
    return int(json.loads(Path(path, "config.json").read_text())["intermediate_size"])


def test_a_stage_that_fails_with_models_of_two_shapes_is_found(tmp_path: Path) -> None:
    right, broken = (Averages(one="model", other="model", says=says) for says in (True, False))
    check_shapes(right, given_context(right, tmp_path / "right"))
    told = r"models whose weights have other shapes \(one, other\) raised AssertionError"
    with pytest.raises(AssertionError, match="cannot be added|" + told):
        check_shapes(broken, given_context(broken, tmp_path / "broken"))


class OwnSeed(LongPairs):
    """Draws with an option, whatever the seed of the run is."""

    seeded: ClassVar = True
    seed: int = Field(default=1, ge=0, description="A seed.")

    def kept(self, context: StageContext) -> Iterator[dict[str, Any]]:
        rows = list(super().kept(context))
        random.Random(self.seed).shuffle(rows)
        return iter(rows[::2])


def test_an_option_is_not_the_seed_of_the_run() -> None:
    assert draws_alone(OwnSeed(rows="rows")) == ["Random"]
    assert draws_alone(LongPairs(rows="rows")) == []
