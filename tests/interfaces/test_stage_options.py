"""The markers of a stage's options. The core uses the markers, and never the names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from halo_core.errors import PluginError, SpecErrors
from halo_core.loss import Loss
from halo_core.option_markers import (
    DataRef,
    Default,
    LearnRef,
    ModelRef,
    SamplesRef,
    StartRef,
    TestRef,
)
from halo_core.reference_point import RefPointEstimator
from halo_core.spec.spec import Spec, load_spec
from halo_core.stage import Stage
from halo_core.stage_options import roles_of

MADE = Path(__file__).parents[1] / "made_components.py"

ODD = """
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core import (
    Default, LearnRef, Loss, LossBatch, LossOutput, ModelRef, RefPointEstimator, RivalRef,
    SamplesRef, Stage, StageContext, StartRef, TestRef,
)


class Distil(Stage):
    produces: ClassVar = "model"
    teacher: Annotated[ModelRef | None, Default("student", when="WHEN")] = Field(
        default=None, description="b"
    )
    student: Annotated[StartRef | None, Default("previous")] = Field(default=None, description="a")
    corpus: LearnRef = Field(description="c")
    exams: dict[str, TestRef] = Field(default_factory=dict, description="d")
    objective: Loss = Field(description="e")
    baseline: Annotated[RefPointEstimator | None, Default("objective")] = Field(
        default=None, description="f"
    )
    hints: SamplesRef | None = Field(default=None, description="g")
    foes: RivalRef | None = Field(default=None, description="h")

    @property
    def teaches(self) -> bool:
        return True

    @property
    def breaks(self) -> bool:
        raise ZeroDivisionError("a bug of a stranger")

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


class Compared(Loss):
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_point")
    default_reference_point: ClassVar = "POINT"

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError
"""
SPEC = f"""\
name: odd
seed: 1
model: {{hub: someone/small}}
data:
  pairs: {{use: "file:{MADE}:Pairs"}}
stages:
  one:
    use: "file:./odd.py:Distil"
    corpus: pairs
    objective: "file:./odd.py:Compared"
    exams: {{spring: pairs}}
  two: {{use: "file:./odd.py:Distil", corpus: pairs, objective: "file:./odd.py:Compared"}}
reports: []
"""


def spec(folder: Path, when: str = "teaches", point: str = "zero", **changes: str) -> Spec:
    (folder / "odd.py").write_text(ODD.replace("WHEN", when).replace("POINT", point))
    (folder / "spec.yaml").write_text(SPEC)
    overrides = {f"stages.{k.replace('__', '.')}": v for k, v in changes.items()}
    return load_spec(folder / "spec.yaml", overrides)


def mistakes(folder: Path, when: str = "teaches", **changes: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        spec(folder, when, **changes)
    return str(caught.value)


def test_options_left_out_stand_for_what_their_markers_say(tmp_path: Path) -> None:
    one, two = spec(tmp_path).stages
    assert one.models == {"student": "model", "teacher": "model"}
    assert two.models == {"student": "one", "teacher": "one"}
    assert two.resolved.tree()["baseline"]["use"] == "zero"
    named = spec(tmp_path, two__student="model", two__baseline="running-mean").stages[1]
    assert named.models == {"student": "model", "teacher": "model"}
    assert named.resolved.tree()["baseline"]["use"] == "running-mean"


def test_roles_are_read_from_the_markers(tmp_path: Path) -> None:
    one = spec(tmp_path).stages[0]
    assert one.start == "model"
    assert list(one.learned) == ["corpus"]
    assert one.role("exams.spring") == "test"
    assert one.role("teacher") is None
    assert one.loss is not None
    assert one.loss.short_name == "Compared"
    assert one.roles == {
        "student": "start",
        "corpus": "learn",
        "exams": "test",
        "objective": "loss",
        "baseline": "reference_point",
        "foes": "rival",
    }


def test_all_that_is_learned_from_or_tested_on_is_of_the_kind_of_the_loss(tmp_path: Path) -> None:
    one = spec(tmp_path).stages[0]
    converted = {option: data.sources[0].converted for option, data in one.data.items()}
    assert converted == {"corpus": "paired-to-binary", "exams.spring": "paired-to-binary"}


def test_a_default_whose_condition_breaks_is_the_plugins_fault(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "breaks")
    assert "breaks() raised ZeroDivisionError: a bug of a stranger" in found
    assert "odd.py:33" in found


def test_the_choice_of_a_loss_must_exist(tmp_path: Path) -> None:
    with pytest.raises(
        SpecErrors, match=r"stages\.two\.baseline: no reference point named 'zeroo'"
    ):
        spec(tmp_path, point="zeroo")


def test_only_a_rival_may_be_the_target(tmp_path: Path) -> None:
    assert spec(tmp_path, two__foes="target").stages[1].inputs == {}
    assert "two.hints: unknown earlier stage 'target'. Known: none" in mistakes(
        tmp_path, two__hints="target"
    )
    assert "two.foes: unknown earlier stage 'traget'. Did you mean 'target'?" in mistakes(
        tmp_path, two__foes="traget"
    )


def test_names_that_lead_nowhere_are_found_beside_another_mistake(tmp_path: Path) -> None:
    wrong = {"two__student": "oen", "two__corpus": "pears", "two__hints": "samples"}
    found = mistakes(tmp_path, two__clever="1", two__foes="target", **wrong)
    assert "two.clever: unknown option 'clever'" in found
    assert "two.student: unknown stage 'oen'. Did you mean 'one'?" in found
    assert "two.corpus: unknown data set 'pears'. Did you mean 'pairs'?" in found
    assert "two.hints: unknown stage 'samples'. Known: model, one" in found
    assert found.endswith("4 mistakes in the spec.")


def define(produces: str = "model", **options: tuple[Any, Any]) -> type[Stage]:
    annotations = {name: annotation for name, (annotation, _) in options.items()}
    members = {name: field for name, (_, field) in options.items()}
    named = {"produces": produces, "__module__": "odd", "__annotations__": annotations}
    return type("Odd", (Stage,), {**named, **members})


LEFT_OUT = Field(default=None, description="x")
GIVEN = Field(description="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": (StartRef, GIVEN), "b": (StartRef, GIVEN)}, "the options 'a', 'b' are all StartRef"),
        (
            {"a": (list[SamplesRef], GIVEN)},
            "'a': an option can name only one model, samples",
        ),
        ({"corpus": (DataRef, GIVEN)}, "does not say what it does with the rows of 'corpus': mark"),
        (
            {"a": (Annotated[ModelRef, Default("previous")], GIVEN)},
            "'a'.* the option is required",
        ),
        (
            {"a": (Annotated[ModelRef | None, Default("previous", when="b")], LEFT_OUT)},
            "the stage has no attribute 'b'",
        ),
        (
            {"a": (Annotated[ModelRef | None, Default("b")], LEFT_OUT)},
            "expected 'previous' or another option that names a model: it has none",
        ),
        (
            {
                "a": (Annotated[ModelRef | None, Default("b")], LEFT_OUT),
                "b": (Annotated[ModelRef | None, Default("a")], LEFT_OUT),
            },
            "expected 'previous' or another option that names a model: it has none",
        ),
        (
            {
                "a": (Annotated[RefPointEstimator | None, Default("b")], LEFT_OUT),
                "c": (Loss, GIVEN),
            },
            "expected an option for a loss: 'c'",
        ),
        (
            {"a": (Annotated[int | None, Default("previous")], LEFT_OUT)},
            "only an option that names a model, or takes a reference point, can have it",
        ),
    ],
)
def test_markers_that_say_nothing_are_refused(
    options: dict[str, tuple[Any, Any]], message: str
) -> None:
    with pytest.raises(PluginError, match=rf"odd\.Odd: .*{message}"):
        define(**options)


def test_a_stage_must_make_one_of_the_products() -> None:
    told = r"produces is 'modle'; expected one of model, samples, verdicts, feedback$"
    with pytest.raises(PluginError, match=told):
        define("modle")


def test_only_makers_of_models_and_samples_must_say_what_rows_are_for() -> None:
    assert roles_of(define("feedback", corpus=(DataRef, GIVEN))) == {}
    options = {"corpus": (LearnRef, GIVEN), "exam": (TestRef, GIVEN), "more": (DataRef, GIVEN)}
    assert roles_of(define("verdicts", **options)) == {"corpus": "learn", "exam": "test"}


def test_rows_that_are_not_marked_are_refused_beside_some_that_are() -> None:
    options = {"corpus": (LearnRef, GIVEN), "more": (DataRef, GIVEN), "rest": (DataRef, GIVEN)}
    told = (
        r"odd\.Odd: it makes model and does not say what it does with the rows of 'more', 'rest': "
        "mark training data as LearnRef, and test data as TestRef$"
    )
    with pytest.raises(PluginError, match=told):
        define(**options)


@pytest.mark.parametrize("many", ["tuple[LearnRef, ...]", "list[LearnRef]"])
def test_rows_may_be_named_by_several_names(tmp_path: Path, many: str) -> None:
    source = ODD.replace("corpus: LearnRef", f"corpus: {many}").replace("WHEN", "teaches")
    (tmp_path / "odd.py").write_text(source.replace("POINT", "zero"))
    (tmp_path / "spec.yaml").write_text(SPEC.replace("corpus: pairs", "corpus: [pairs, pairs]"))
    one = load_spec(tmp_path / "spec.yaml", {}).stages[0]
    assert list(one.learned) == ["corpus"]
    assert len(one.learned["corpus"].sources) == 2
