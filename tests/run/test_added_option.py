"""An option that is added to a component later does not change old identities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.option_markers import Added, Execution
from halo_core.plugins.registrar import Registration
from halo_core.run.identity import component_identity
from halo_core.spec.resolved import Resolved


class Before(Loss):
    feedback: ClassVar = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    beta: float = Field(default=0.1, description="strength")

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError


class After(Before):
    margin: Annotated[float, Added()] = Field(default=0.0, alias="the-margin", description="more")
    steps: Annotated[list[int], Added()] = Field(default_factory=list, description="more")
    inner: Annotated[Loss | None, Added()] = Field(default=None, description="more")


@pytest.fixture(autouse=True)
def _one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.run.identity.version", lambda registration: "1")


def identity(loss: Loss, **children: Resolved) -> dict[str, object]:
    registration = Registration("loss", "a", "m:A", "halo-acme", "1", str(Path(__file__)))
    return component_identity(Resolved(loss, "acme/a", registration, children))


def test_an_added_option_is_left_out_of_the_identity_where_it_has_its_default() -> None:
    assert identity(After()) == identity(Before())
    assert identity(After(beta=0.2)) == identity(Before(beta=0.2)) != identity(Before())
    assert identity(After(**{"the-margin": 0.0}, steps=[], inner=None)) == identity(Before())


@pytest.mark.parametrize(
    ("name", "value"), [("the-margin", 0.5), ("steps", [1]), ("inner", Before())]
)
def test_an_added_option_that_is_used_is_in_the_identity(name: str, value: object) -> None:
    found = identity(After(**{name: value}))["options"]
    assert isinstance(found, dict)
    assert set(found) == {"beta", name}


class Choosing(Before):
    choose: Annotated[bool, Added()] = Field(default=False, description="whether to")
    every: Annotated[int | None, Execution(unless="choose")] = Field(
        default=None, description="how often"
    )


def test_an_option_of_execution_is_in_the_identity_where_it_decides_what_comes_out() -> None:
    assert identity(Choosing(every=5)) == identity(Before())
    chosen = identity(Choosing(choose=True, every=5))["options"]
    assert isinstance(chosen, dict)
    assert set(chosen) == {"beta", "choose", "every"}


def test_a_component_that_is_an_added_option_has_its_own_identity() -> None:
    registration = Registration("loss", "b", "m:B", "halo-acme", "1", "b.py")
    inner = Resolved(Before(), "acme/b", registration, {})
    found = identity(After(inner=Before()), inner=inner)["options"]
    assert isinstance(found, dict)
    assert found["inner"] == {"use": "acme/b", "version": "1", "options": {"beta": 0.1}}
