"""Problems of options: each value has one, also if it may have one of several types."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from halo_core.spec.option_problems import option_problems


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    rank: int = Field(default=1, ge=1)


class Tagged(BaseModel):
    kind: Literal["tagged"]
    size: int


class Other(BaseModel):
    kind: Literal["other"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    path: str | list[str] = "rows.jsonl"
    tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    inner: Inner | None = None
    either: Inner | Literal["all", "none"] = "all"
    by_kind: Annotated[Tagged | Other, Field(discriminator="kind")] | None = None
    rate: float = Field(default=0.5, gt=0, le=1)
    count: int = Field(default=1, ge=0, lt=10)
    names: tuple[str, ...] = Field(default=("a",), min_length=1)
    shares: dict[str, float] = {}
    sure: bool = True

    @model_validator(mode="after")
    def _apart(self) -> Options:
        if self.count == 7:
            raise ValueError("count is 7; expected another number")
        return self


def told(options: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate_json(json.dumps(options))
    problems = option_problems(caught.value, options)
    places = {".".join(map(str, problem.place)): problem.message for problem in problems}
    assert len(places) == len(problems)
    return places


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"path": 3}, {"path": "got 3; expected text or a list"}),
        ({"path": None}, {"path": "got null; expected text or a list"}),
        (
            {"path": ["a", 3, True]},
            {
                "path.1": "got 3; expected text",
                "path.2": "got true; expected text",
            },
        ),
        ({"tokens": "x"}, {"tokens": "got 'x'; expected a whole number or 'auto'"}),
        (
            {"tokens": "atuo"},
            {"tokens": "got 'atuo'; expected a whole number or 'auto'. Did you mean 'auto'?"},
        ),
        ({"tokens": 0}, {"tokens": "got 0; expected a number of at least 1 or 'auto'"}),
        ({"inner": 3}, {"inner": "got 3; expected a mapping"}),
        ({"inner": {"rank": 0}}, {"inner.rank": "got 0; expected a number of at least 1"}),
        ({"either": {"rank": "x"}}, {"either.rank": "got 'x'; expected a whole number"}),
        (
            {"either": "al"},
            {"either": "got 'al'; expected a mapping or 'all' or 'none'. Did you mean 'all'?"},
        ),
        (
            {"by_kind": {"kind": "tagged", "size": "x"}},
            {
                "by_kind.size": "got 'x'; expected a whole number",
            },
        ),
        ({"rate": 0}, {"rate": "got 0; expected a number above 0"}),
        ({"rate": 2.5}, {"rate": "got 2.5; expected a number of at most 1"}),
        ({"count": 10}, {"count": "got 10; expected a number below 10"}),
        ({"count": 1.5}, {"count": "got 1.5; expected a whole number"}),
        ({"names": []}, {"names": "got []; expected at least 1 item"}),
        ({"names": "a"}, {"names": "got 'a'; expected a list"}),
        ({"shares": []}, {"shares": "got []; expected a mapping"}),
        ({"sure": "yes"}, {"sure": "got 'yes'; expected true or false"}),
        ({"count": 7}, {"": "count is 7; expected another number"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_has_one_problem_in_words_of_a_spec(
    options: dict[str, Any], expected: dict[str, str]
) -> None:
    assert told(options) == expected


def test_a_missing_key_inside_of_a_type_keeps_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"by_kind": {"kind": "tagged"}})
    (problem,) = option_problems(caught.value, {"by_kind": {"kind": "tagged"}})
    assert (problem.place, problem.type) == (("by_kind", "size"), "missing")


def test_a_password_in_an_option_is_not_shown() -> None:
    shown = told({"count": "https://ann:sesame@example.org"})["count"]
    assert "sesame" not in shown
