"""Makes inputs for a stage whatever its options are: a tiny model, rows, samples, a judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from halo_core.component import Component
from halo_core.feedback import COLUMNS, Feedback, prompt_id
from halo_core.guarded.stage_calls import feedback_wanted_of
from halo_core.judge import JudgeContext
from halo_core.option_fields import (
    fields_by_alias,
    interface_kind,
    marker_of,
    refers_to,
    values_by_alias,
)
from halo_core.option_markers import Default, Refers
from halo_core.rows import DataSet
from halo_core.scoring_judge import Answer, Score, ScoringJudge, ScoringSession
from halo_core.stage import ModelInput, Stage, StageContext
from halo_core.testing.context import stage_context
from halo_core.testing.data.given_rows import GivenRows
from halo_core.testing.losses.loss_wrappers import Paired, Pointed
from halo_core.testing.rows import data_set
from halo_core.testing.tiny_model import tiny_model
from halo_core.workspace.records import FEEDBACK, SAMPLES, VERDICTS, SampleLine, VerdictLine

ENDINGS = (
    ("today", "here", "aloud"),
    ("again", "twice", "later"),
    ("alone", "slowly", "now"),
    ("daily", "never", "daily"),
)
"""Last words of the samples of some prompts. Three prompts have no most frequent text."""


class LongerText(ScoringJudge):
    """A judge that scores a text by its length."""

    @contextmanager
    def open_scoring(self, context: JudgeContext) -> Iterator[ScoringSession]:
        """Yields a session."""
        yield _LongerTextSession()


class _LongerTextSession(ScoringSession):
    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for answer in answers:
            yield Score(answer.id, float(len(answer.completion)))


NAMES = {
    "model": "model",
    "samples": "samples",
    "data": "rows",
    "verdicts": "verdicts",
    "feedback": "labels",
}
"""Values of options that refer to something, by what they refer to."""

HELD: Mapping[str, Sequence[Component]] = {
    "loss": (Paired(), Pointed(factor=2.0)),
    "judge": (LongerText(),),
    "data": (GivenRows(),),
}
"""Components for an option that holds one, by its kind."""


MOST = 12
"""Number of combinations of values of required options that are tried."""


def stage_options(cls: type[Stage]) -> Sequence[dict[str, Any]]:
    """Returns choices for the options that refer to something, hold a component, or are words.

    The first choices have only the options that are required.

    Args:
        cls: The class of a stage.
    """
    fields = fields_by_alias(cls)
    required = {name: info for name, info in fields.items() if info.is_required()}
    choices: dict[str, Sequence[Any]] = {}
    for name, info in required.items():
        product, kind = refers_to(info) or "", interface_kind(info) or ""
        if product in NAMES:
            choices[name] = [NAMES[product]]
        elif kind in HELD:
            choices[name] = HELD[kind]
        elif get_origin(info.annotation) is Literal:
            choices[name] = get_args(info.annotation)
    chosen = [
        dict(zip(choices, values, strict=True))
        for values in itertools.islice(itertools.product(*choices.values()), MOST)
    ]
    # Some stages need one of two inputs, so that neither is required by itself.
    further = {
        name: NAMES[product]
        for name, info in fields.items()
        if name not in required and (product := refers_to(info) or "") in NAMES
    }
    single = [{}, *({name: value} for name, value in further.items())]
    return [{**options, **more} for more in single for options in chosen]


def given_context(stage: Stage, folder: Path) -> StageContext:
    """Returns a context with inputs for all options that a stage uses.

    Models are those of `tiny_model`. Rows are six of the kind that the stage wants, or pairs.
    Samples answer the prompts of these rows, some of them several times; those of each option are
    others.

    Args:
        stage: The stage.
        folder: A folder for the inputs, and for the stage's own folder ``stage``.
    """
    return stage_context(
        folder / "stage",
        models=dict(_models(stage, folder)),
        inputs=dict(_inputs(stage, folder)),
        data=dict(_data(stage, folder)),
    )


def _models(stage: Stage, folder: Path) -> Iterator[tuple[str, ModelInput]]:
    values = values_by_alias(stage)
    for number, (name, info) in enumerate(fields_by_alias(type(stage)).items()):
        if refers_to(info) == "model" and _is_used(stage, values[name], marker_of(info, Default)):
            # Each option gets another model: a mixture of equal ones would not depend on its share.
            yield name, tiny_model(folder / f"model-{name}", seed=number)
        held = values[name]
        if isinstance(held, Component):
            for inner, field in fields_by_alias(type(held)).items():
                if refers_to(field) == "model" and values_by_alias(held)[inner] is not None:
                    yield f"{name}.{inner}", tiny_model(folder / "model")


def _is_used(stage: Stage, value: object, default: Default | None) -> bool:
    if value is not None or default is None:
        return value is not None
    return default.when is None or bool(getattr(stage, default.when))


def _inputs(stage: Stage, folder: Path) -> Iterator[tuple[str, Path]]:
    values = values_by_alias(stage)
    for number, (name, info) in enumerate(fields_by_alias(type(stage)).items()):
        product, value = refers_to(info), values[name]
        if product in ("samples", "verdicts", "feedback") and _is_stage(value, info):
            place = folder / f"input-{name}"
            place.mkdir(parents=True, exist_ok=True)
            if product == "samples":
                SAMPLES.write(place / SAMPLES.name, _samples(number))
            elif product == "verdicts":
                VERDICTS.write(place / VERDICTS.name, _verdicts(number))
            else:
                rows: Any = list(GivenRows().load("train").rows)
                FEEDBACK.write(place / FEEDBACK.name, rows)
            yield name, place


def _is_stage(value: object, info: FieldInfo) -> bool:
    """Returns whether a value is the id of a stage, and not a word such as ``target``."""
    reference = marker_of(info, Refers)
    return isinstance(value, str) and (reference is None or value not in reference.also)


def _samples(number: int) -> Iterator[SampleLine]:
    for place, row in enumerate(GivenRows(feedback="demonstration").load("test").rows):
        for ending in ENDINGS[place] if place < len(ENDINGS) else ENDINGS[0][:1]:
            # Other letters show a file that is opened without its encoding.
            text = f"I say it {number} times {ending}, naïve cow."
            yield SampleLine(
                prompt_id=prompt_id(row["prompt"], None),
                prompt=row["prompt"],
                completion=text,
                tokens=len(text),
                target=row["completion"],
                finish="stop",
            )


def _verdicts(number: int) -> Iterator[VerdictLine]:
    for sample in _samples(number):
        yield VerdictLine(
            prompt_id=sample["prompt_id"],
            prompt=sample["prompt"],
            completion=sample["completion"],
            baseline=sample["target"] or "",
            result="win",
            flip=False,
            orders=[],
        )


def _data(stage: Stage, folder: Path) -> Iterator[tuple[str, DataSet]]:
    wanted, values = feedback_wanted_of(stage), values_by_alias(stage)
    for name, info in fields_by_alias(type(stage)).items():
        if refers_to(info) != "data" or not values[name]:
            continue
        feedback = wanted.get(name, "paired")
        for kind in COLUMNS:
            if kind == feedback:
                yield name, _rows(folder, name, kind)


def _rows(folder: Path, name: str, feedback: Feedback) -> DataSet:
    rows = list(GivenRows(feedback=feedback).load("train").rows)
    return data_set(folder, feedback, rows, name=f"given-{name}")


__all__ = ["given_context", "stage_options"]
