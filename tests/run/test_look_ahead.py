"""Mistakes of stages about models and rows are reported together, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.run.first_rows import FIRST, FirstRows
from halo_core.run.materialise import Rows
from halo_core.testing import data_set

Halo = Callable[..., Any]

MADE = Path(__file__).parents[1] / "made_components.py"
PAIRS = f'"file:{MADE}:Pairs"'
STAGES = """
import json
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core import Default, LearnRef, Stage, StageResult, StartRef, UserError


class Base(Stage):
    produces: ClassVar = "model"
    corpus: LearnRef = Field(description="rows")
    width: int = Field(default=8, description="of the model")
    draws: bool = Field(default=True, description="whether it sketches")

    def check_inputs(self, inputs):
        if self.draws:
            inputs.sketch.mkdir()
            (inputs.sketch / "config.json").write_text(json.dumps({"width": self.width}))
        return []

    def run(self, context):
        (context.folder / "model").mkdir()
        (context.folder / "model" / "config.json").write_text(json.dumps({"width": self.width}))
        return StageResult()


class Widen(Stage):
    produces: ClassVar = "model"
    student: Annotated[StartRef | None, Default("previous")] = Field(default=None, description="m")
    corpus: LearnRef = Field(description="rows")
    by: int = Field(default=1, description="how much")
    way: str = Field(default="", description="how it looks ahead")

    def check_inputs(self, inputs):
        if self.way == "bug":
            raise ZeroDivisionError("a bug of a stranger")
        if self.way == "wrong":
            return ["by"]
        if self.way == "raise":
            raise UserError("cannot be that wide", location="by")
        if self.way == "log":
            log = {o: Path(m.path, "config.json").read_text() for o, m in inputs.models.items()}
            log |= {"there": sorted(inputs.there), "begins": inputs.begins}
            log |= {o: [row["chosen"] for row in rows] for o, rows in inputs.data.items()}
            with open("asked.jsonl", "a") as file:
                file.write(json.dumps(log) + "\\n")
        return [("by", f"{self.by} is too much")] if self.by > 4 else []

    def run(self, context):
        (context.folder / "model").mkdir()
        (context.folder / "model" / "config.json").write_text("{}")
        return StageResult()
"""
SPEC = f"""\
name: wide
seed: 1
model: {{hub: someone/small}}
data:
  train: {{use: {PAIRS}, prefix: a, count: 3}}
  test: {{use: {PAIRS}, prefix: a, split: train, count: 3}}
stages:
  base: {{use: "file:stages.py:Base", corpus: train}}
  one: {{use: "file:stages.py:Widen", corpus: train}}
  two: {{use: "file:stages.py:Widen", corpus: train}}
reports: []
"""


@pytest.fixture
def wide(tmp_path: Path) -> str:
    """The name of a spec whose stages check their inputs."""
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "wide.yaml").write_text(SPEC)
    return "wide.yaml"


def asked(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "asked.jsonl").open()]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_mistakes_of_all_stages_are_told_together_before_the_first_one(
    halo: Halo, wide: str, tmp_path: Path, command: str
) -> None:
    options = ("--set", "stages.one.by=7", "--set", "stages.two.by=9")
    failed = halo(command, wide, *options, "--json")
    assert failed.code == 2
    assert failed.json["errors"] == [
        {
            "type": "UserError",
            "location": "--set stages.one.by=7: stages.one.by",
            "message": "7 is too much",
        },
        {
            "type": "UserError",
            "location": "--set stages.two.by=9: stages.two.by",
            "message": "9 is too much",
        },
    ]
    assert not list((tmp_path / "workspace").glob("stages/*"))


def test_a_mistake_that_is_raised_is_told_at_its_option_too(halo: Halo, wide: str) -> None:
    failed = halo("plan", wide, "--set", "stages.one.way=raise", "--set", "stages.two.by=9")
    assert failed.code == 2
    assert "wide.yaml:9:3: stages.one.by: cannot be that wide" in failed.err
    assert "stages.two.by: 9 is too much" in failed.err
    assert "2 mistakes in the spec." in failed.err


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("bug", "Widen.check_inputs() raised ZeroDivisionError: a bug of a stranger"),
        ("wrong", "Widen.check_inputs() returned 'by'; expected pairs of an option and a message"),
    ],
)
def test_looking_ahead_that_breaks_is_the_plugins_fault(
    halo: Halo, wide: str, way: str, said: str
) -> None:
    failed = halo("plan", wide, "--set", f"stages.one.way={way}")
    assert failed.code == 3
    assert said in failed.err
    assert "stages.py:" in failed.err


def test_a_stage_is_given_the_sketch_of_a_model_and_its_rows(
    halo: Halo, wide: str, tmp_path: Path
) -> None:
    done = halo("plan", wide, "--set", "stages.base.width=9", "--set", "stages.two.way=log")
    assert done.code == 0, done.err
    expected = {"student": '{"width": 9}', "there": [], "begins": False, "corpus": ["yes"] * 3}
    assert asked(tmp_path) == [expected]


def test_a_stage_whose_model_is_not_known_is_asked_again_when_it_is_there(
    halo: Halo, wide: str, tmp_path: Path
) -> None:
    options = ("--set", "stages.base.draws=false", "--set", "stages.two.way=log")
    done = halo("run", wide, *options)
    assert done.code == 0, done.err
    first, second = asked(tmp_path)
    assert "student" not in first
    assert second["student"] == '{"width": 8}'
    assert second["there"] == []
    again = halo("run", wide, *options)
    assert again.code == 0
    assert len(asked(tmp_path)) == 2


def test_a_set_that_is_tested_on_and_trained_on_is_told_by_the_plan_at_its_place(
    halo: Halo, wide: str, spec_file: Path
) -> None:
    text = spec_file.read_text().replace("prefix: b, split: test", "prefix: a")
    spec_file.write_text(text)
    failed = halo("plan", str(spec_file), "--json")
    assert failed.code == 2
    assert failed.json["errors"][0]["location"] == "spec.yaml:6:3: data set 'test'"
    message = failed.json["errors"][0]["message"]
    assert "4 of its 4 rows are also in 'train'" in message
    assert message.endswith("If it is on purpose, write overlap: warn")
    allowed = halo("plan", str(spec_file), "--set", "overlap=warn")
    assert allowed.code == 0, allowed.err
    assert "4 of 4 rows of 'test' are also in 'train'" in allowed.err


def test_a_suite_tells_the_mistakes_of_all_cells_before_the_first_one(
    halo: Halo, wide: str, tmp_path: Path
) -> None:
    matrix = "matrix: {much: {little: , more: {stages.one.by: 5}, most: {stages.one.by: 6}}}\n"
    (tmp_path / wide).write_text(SPEC + matrix)
    for command in ("plan", "run"):
        failed = halo(command, wide, "--json")
        assert failed.code == 2
        assert [error["message"] for error in failed.json["errors"]] == [
            "5 is too much (in the cell more)",
            "6 is too much (in the cell most)",
        ]
    assert not list((tmp_path / "workspace").glob("stages/*"))


def test_the_first_rows_hold_every_sequence_of_roles(tmp_path: Path) -> None:
    def row(*roles: str) -> dict[str, Any]:
        return {
            "prompt": [{"role": role, "content": "x"} for role in roles],
            "completion": "y",
        }

    rows = [row("user")] * 200 + [row("system", "user")] * 5 + [row("user", "assistant", "user")]
    whole = data_set(tmp_path, "demonstration", rows)
    (file,) = whole.files
    given = Rows("x", file, "demonstration", len(rows), {}, 0, "")
    first = FirstRows(tmp_path).of("train", [given])
    assert [tuple(m["role"] for m in r["prompt"]) for r in first] == [
        *[("user",)] * FIRST,
        ("system", "user"),
        ("user", "assistant", "user"),
    ]
