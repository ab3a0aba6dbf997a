"""Forecasts of stages before they run: weights, sizes, remaining work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.errors import DataError, PluginError
from halo_core.run.forecast import disk_needed, forecasts
from halo_core.run.known_models import folder_parameters
from halo_core.run.plan import Plan, make_plan
from halo_core.spec.spec import load_spec
from halo_core.stage import Forecast, Stage
from halo_core.workspace.files import write_json
from halo_core.workspace.layout import Workspace

GROW = """
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core import (
    DataError, Default, Forecast, Known, LearnRef, Stage, StageContext, StartRef
)


class Grow(Stage):
    produces: ClassVar = "model"
    start: Annotated[StartRef | None, Default("previous")] = Field(default=None, description="it")
    corpus: LearnRef = Field(description="rows")

    def forecast(self, known: Known) -> Forecast:
        FORECAST

    def run(self, context: StageContext) -> None:
        raise NotImplementedError
"""
TWICE = "return Forecast(weights=2 * known.weights, size={'rows': f'{known.learned} {known.rows}'})"


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Returns the plan of two stages, one after the other, with forecasts from the test."""

    def plan(forecast: str) -> Plan:
        (tmp_path / "grow.py").write_text(GROW.replace("FORECAST", forecast))
        source = f"file:{Path(__file__).parents[1] / 'made_components.py'}:Pairs"
        (tmp_path / "spec.yaml").write_text(
            f"""\
name: growing
seed: 1
model: {{hub: someone/small-1b}}
data:
  train: {{use: "{source}", count: 7}}
stages:
  one: {{use: "file:./grow.py:Grow", corpus: train}}
  two: {{use: "file:./grow.py:Grow", corpus: train}}
"""
        )
        return make_plan(load_spec(tmp_path / "spec.yaml"), Workspace(tmp_path / "w"))

    return plan


def test_the_weights_that_a_stage_makes_are_told_to_the_next(planned: Callable[..., Plan]) -> None:
    said = forecasts(planned(TWICE))
    assert {id_: each.weights for id_, each in said.items()} == {"one": 2 * 10**9, "two": 4 * 10**9}


def test_a_stage_is_told_of_its_rows_where_they_are_known(planned: Callable[..., Plan]) -> None:
    plan = planned(TWICE)
    assert forecasts(plan)["one"].size == {"rows": "None {'corpus': None}"}
    from halo_core.run.materialise import materialise_set

    materialise_set(plan.stages[0].spec.data["corpus"], plan.workspace)
    assert forecasts(plan)["one"].size == {"rows": "7 {'corpus': 7}"}


def test_a_done_stage_is_told_so(planned: Callable[..., Plan]) -> None:
    plan = planned("return Forecast(weights=int(known.done))")
    write_json(plan.stages[0].folder / "done.json", {"metrics": {}, "headline": ""})
    said = forecasts(make_plan(plan.spec, plan.workspace))
    assert [each.weights for each in said.values()] == [1, 0]


def test_what_a_stage_cannot_use_is_told_in_the_plan(planned: Callable[..., Plan]) -> None:
    said = forecasts(planned("raise DataError('empty', location='samples.jsonl')"))
    assert said["one"] == Forecast(ahead={"ahead": "unknown: samples.jsonl: empty"})


def test_a_forecast_that_breaks_is_the_plugins_fault(planned: Callable[..., Plan]) -> None:
    with pytest.raises(PluginError, match=r"forecast\(\) raised ZeroDivisionError") as caught:
        forecasts(planned("return Forecast(weights=1 // 0)"))
    assert str(caught.value.location).endswith("grow.py:17")


@pytest.mark.parametrize(
    ("said", "needed"),
    [
        ("disk=9", 18),
        # The second stage writes 9 bytes in addition to the 2 bytes of the first one.
        ("disk=9, left=2", 11),
        ("disk=9, left=0", 9),
        ("weights=1", 0),
    ],
)
def test_stages_need_the_disk_one_after_the_other(
    planned: Callable[..., Plan], said: str, needed: int
) -> None:
    plan = planned(f"return Forecast({said})")
    said_of = forecasts(plan)
    assert disk_needed((stage, said_of[stage.id]) for stage in plan.stages) == needed


def test_a_stage_that_was_asked_for_another_cell_is_not_asked_again(
    planned: Callable[..., Plan],
) -> None:
    plan = planned(TWICE)
    earlier = {plan.stages[0].folder: Forecast(weights=5)}
    said = forecasts(plan, earlier)
    assert {id_: each.weights for id_, each in said.items()} == {"one": 5, "two": 10}


@pytest.mark.parametrize(
    ("name", "instead"), [("parameters", "weights"), ("size", "size"), ("outlook", "ahead")]
)
def test_a_stage_with_a_method_that_is_gone_is_refused(name: str, instead: str) -> None:
    members = {name: lambda self: None, "produces": "model", "__module__": "old"}
    told = (
        rf"old\.Old: the method {name}\(\) of a stage is no longer called: return it from "
        rf"forecast\(known\), as Forecast\({instead}=\.\.\.\)$"
    )
    with pytest.raises(PluginError, match=told):
        type("Old", (Stage,), members)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x02\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
        b"\x02\x00\x00\x00\x00\x00\x00\x00{]",
        b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
        b'\x09\x00\x00\x00\x00\x00\x00\x00{"w": {}}',
    ],
)
def test_a_damaged_header_of_weights_is_told_by_its_file(tmp_path: Path, damaged: bytes) -> None:
    whole = b'{"__metadata__": {}, "w": {"shape": [3, 4]}}'
    (tmp_path / "model-1.safetensors").write_bytes(len(whole).to_bytes(8, "little") + whole)
    assert folder_parameters(tmp_path) == 12
    (tmp_path / "model-2.safetensors").write_bytes(damaged)
    with pytest.raises(DataError) as caught:
        folder_parameters(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'model-2.safetensors'}: the header cannot be read; expected a safetensors "
        "file. Copy or download the model again"
    )
