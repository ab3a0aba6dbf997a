"""The test kit finds each way in which a stage breaks its promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core.errors import DataError
from halo_core.option_markers import TestRef
from halo_core.stage import Forecast, Inputs, Known, Product, Stage, StageContext, StageResult, Work
from halo_core.testing import check_stage, data_set, stage_context
from halo_core.workspace.records import SAMPLES, SampleLine

PROMPT = [{"role": "user", "content": "Hello?"}]


def sample(row: Mapping[str, Any]) -> SampleLine:
    prompt = row["prompt"]
    return SampleLine(prompt_id=row["prompt_id"], prompt=prompt, completion="Hi\u2028", tokens=1)


class Echo(Stage):
    """Answers each prompt with the prompt."""

    produces: ClassVar[Product] = "samples"
    seeded: ClassVar[bool] = False
    prompts: TestRef = Field(description="what is answered")
    fault: str = Field(default="", description="what it does wrong")

    def mistakes(self) -> Sequence[tuple[str, str]]:
        return [("fault", "goes with nothing")] if self.fault == "mistakes" else []

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        rows = inputs.data["prompts"] if self.fault == "nothing there" else ()
        return [("fault", f"{len(rows)}")] if self.fault == "inputs" else []

    def forecast(self, known: Known) -> Forecast:
        if self.fault == "unusable" and known.inputs:
            raise DataError("empty")
        unknown = known.weights + 1 if self.fault == "forecast" else 0  # type: ignore[operator]
        return Forecast(size={"answers": f"{unknown} {known.rows.get('prompts')}"})

    def work(self, known: Known) -> Work | None:
        return Work("answer", -1 if self.fault == "work" else len(known.rows))

    def run(self, context: StageContext) -> StageResult:
        done = context.folder / "samples.jsonl"
        if context.stop.is_set():
            if self.fault == "stop":
                raise KeyError("stopped")
            context.stop.raise_interrupted("nothing is kept")
        if self.fault == "nan":
            return StageResult({"n": float("nan")})
        if self.fault == "again" and done.exists():
            return StageResult({"n": 0})
        if self.fault != "product":
            SAMPLES.write(done, [sample(row) for row in context.data["prompts"]])
        return StageResult({"n": len(context.data["prompts"])}, "answered")


def check(folder: Path, fault: str) -> None:
    rows = data_set(folder, "demonstration", [{"prompt": PROMPT, "completion": "Hi"}])
    inputs = {"of": folder}
    context = stage_context(folder / "stage", data={"prompts": rows}, inputs=inputs)
    check_stage(Echo(prompts="test", fault=fault), context)


@pytest.mark.parametrize("fault", ["", "unusable"])
def test_a_stage_without_a_fault_passes(tmp_path: Path, fault: str) -> None:
    check(tmp_path, fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mistakes", r"mistakes\(\) finds \[\('fault', 'goes with nothing'\)\]; expected compat"),
        ("inputs", r"check_inputs\(Inputs\(.*\) finds \[\('fault', '0'\)\]; expected nothing"),
        ("nothing there", r"check_inputs\(Inputs\(models={}, .* raised PluginError: .*KeyError"),
        ("forecast", r"forecast\(Known\(weights=None.* raised PluginError: .*TypeError"),
        ("work", r"work\(Known\(weights=None.* raised PluginError: .*an amount >= 0, or None"),
        ("stop", r"run\(\) when it was asked to stop at once raised KeyError: 'stopped'"),
        ("nan", r"run\(\) after a stop raised PluginError: .* the metric 'n': nan; expected a"),
        ("product", r"run\(\) after a stop raised PluginError: .*without samples\.jsonl in its"),
        ("again", r"run\(\) gave {'n': 1}, and in the same folder {'n': 0}"),
    ],
)
def test_a_fault_is_found_and_told(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(tmp_path, fault)
