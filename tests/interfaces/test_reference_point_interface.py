"""The rules for classes of reference points: declarations, methods, and errors at definition."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
import torch

from halo_core import Estimate, Observed, PairingPlan, RefPointEstimator
from halo_core.errors import PluginError
from halo_core.testing.points.reference_points import check_pairs_and_estimates


def define(observes: object, *methods: str, lagged: bool = False) -> type[RefPointEstimator]:
    """Defines an estimator with these methods."""
    body: dict[str, Any] = {name: lambda self, *given: None for name in methods}
    annotations = {"observes": ClassVar, "lagged": ClassVar}
    body |= {"__annotations__": annotations, "__module__": __name__, "lagged": lagged}
    if observes is not None:
        body["observes"] = observes
    return type("Made", (RefPointEstimator,), body)


@pytest.mark.parametrize(
    ("observes", "methods", "lagged"),
    [
        ("nothing", (), False),
        ("nothing", ("estimate",), False),
        ("own", ("estimate",), False),
        ("own", ("estimate", "point_from"), True),
        ("mismatched", ("pairs", "estimate"), False),
        ("mismatched", ("pairs", "estimate", "partners", "point_from"), True),
        ("pair", ("within_pair",), False),
    ],
)
def test_the_methods_that_are_called_are_all_it_takes(
    observes: str, methods: tuple[str, ...], lagged: bool
) -> None:
    assert define(observes, *methods, lagged=lagged).observes == observes


@pytest.mark.parametrize(
    ("observes", "methods", "lagged", "message"),
    [
        (
            None,
            ("pairs", "estimate"),
            False,
            'a reference point must say what it observes: observes = "nothing", "own" (the '
            'batch\'s completions), "mismatched" (what pairs() makes) or "pair" (within_pair()); '
            "got None",
        ),
        ("mismatch", ("pairs", "estimate"), False, "got 'mismatch'"),
        ("own", (), False, "a reference point that observes 'own' needs a method estimate()"),
        ("mismatched", ("estimate",), False, "observes 'mismatched' needs a method pairs()"),
        ("mismatched", ("pairs",), False, "observes 'mismatched' needs a method estimate()"),
        ("pair", (), False, "observes 'pair' needs a method within_pair()"),
        ("own", ("estimate",), True, "observes 'own' and is lagged needs a method point_from()"),
        ("own", ("pairs", "estimate"), False, "observes 'own' never has its pairs() called; leave"),
        ("own", ("estimate", "partners"), False, "never has its partners() called; leave it out"),
        (
            "pair",
            ("within_pair", "estimate"),
            False,
            "never has its estimate() called; leave it out",
        ),
        ("nothing", ("within_pair",), False, "never has its within_pair() called; leave it out"),
        (
            "own",
            ("estimate", "point_from"),
            False,
            "never has its point_from() called; leave it out",
        ),
        ("nothing", (), True, "lagged has no effect on a reference point that observes 'nothing'"),
        ("pair", ("within_pair",), True, "lagged has no effect on a reference point that observes"),
        (
            "mismatched",
            ("pairs", "estimate", "wants_fixed"),
            False,
            'wants_fixed of a reference point is no longer called: return "fixed" from partners()',
        ),
    ],
)
def test_methods_that_do_not_fit_what_is_observed_are_refused(
    observes: object, methods: tuple[str, ...], lagged: bool, message: str
) -> None:
    with pytest.raises(PluginError, match=re.escape(message)):
        define(observes, *methods, lagged=lagged)


def test_what_is_not_written_is_the_reference_model_itself() -> None:
    nothing = define("nothing")()
    assert nothing.estimate(Observed((), (), (), 3), {}) == Estimate(0.0)
    assert (nothing.pairs(PairingPlan((), ()), None), nothing.partners()) == ((), "batch")
    chosen = torch.tensor([1.0, 2.0], dtype=torch.float64)
    points = nothing.within_pair(chosen, chosen)
    assert (points.tolist(), points.dtype) == ([0.0, 0.0], torch.float64)
    check_pairs_and_estimates(nothing)


class Warming(RefPointEstimator):
    """A point that rises by 0.1 nats a step: a schedule, which observes nothing."""

    observes: ClassVar = "nothing"

    def estimate(self, observed: Observed, state: Any) -> Estimate:
        step = state.get("step", 0.0) + 1
        return Estimate(0.1 * step, {"step": step})


def test_a_schedule_observes_nothing_and_passes() -> None:
    check_pairs_and_estimates(Warming())
