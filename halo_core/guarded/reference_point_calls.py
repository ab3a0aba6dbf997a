"""Calls an estimator's methods, and refuses invalid results with an error naming the plugin."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Literal

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.guarded.loss_calls import is_number, is_tensor, wrong_metrics
from halo_core.reference_point import Estimate, Observed, Pair, PairingPlan, RefPointEstimator

if TYPE_CHECKING:
    from torch import Tensor


def pairs_of(estimator: RefPointEstimator, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
    """Returns the mismatched pairs that an estimator makes.

    Raises:
        PluginError: When they are not `Pair`s of positions in the plan.
    """
    pairs: object = estimator.pairs(plan, rng)
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        what = f"returned {type(pairs).__name__}; expected a sequence of Pair(prompt, completion)"
        raise plugin_error(estimator, "pairs", what)
    size = len(plan.batch) + len(plan.following) + len(plan.fixed)
    for pair in pairs:
        if not isinstance(pair, Pair):
            what = f"asked for {pair!r}; expected Pair(prompt, completion)"
            raise plugin_error(estimator, "pairs", what)
        if not all(isinstance(place, Integral) for place in (pair.prompt, pair.completion)):
            raise plugin_error(estimator, "pairs", f"asked for {pair}; positions are whole numbers")
        if not (0 <= pair.prompt < size and 0 <= pair.completion < size):
            what = f"asked for {pair}; positions go from 0 to {size - 1}"
            raise plugin_error(estimator, "pairs", what)
    return pairs


def partners_of(estimator: RefPointEstimator) -> Literal["batch", "fixed"]:
    """Returns the partners from which an estimator's pairs are made.

    Raises:
        PluginError: When it raises, or returns anything else.
    """
    with blaming(estimator, "partners"):
        partners: object = estimator.partners()
    if partners == "fixed":
        return "fixed"
    if partners != "batch":
        what = f"returned {partners!r}; expected 'batch' or 'fixed'"
        raise plugin_error(estimator, "partners", what)
    return "batch"


def estimate_of(
    estimator: RefPointEstimator, observed: Observed, state: Mapping[str, float]
) -> Estimate:
    """Returns an estimator's estimate from a global batch.

    Raises:
        PluginError: When it is not an `Estimate` of plain numbers, which checkpoints need.
    """
    estimate: object = estimator.estimate(observed, state)
    if not isinstance(estimate, Estimate):
        what = f"returned {estimate!r}; expected Estimate(value)"
        raise plugin_error(estimator, "estimate", what)
    if not is_number(estimate.value):
        what = f"gave the value {estimate.value!r}; expected a plain number, as float() makes one"
        raise plugin_error(estimator, "estimate", what)
    if not isinstance(estimate.state, Mapping):
        what = f"gave the state {estimate.state!r}; expected name to a plain number"
        raise plugin_error(estimator, "estimate", what)
    for name, value in estimate.state.items():
        if not isinstance(name, str):
            what = f"gave the state {name!r}; expected a text as its name"
            raise plugin_error(estimator, "estimate", what)
        if not is_number(value):
            what = f"gave the state {name!r} as {value!r}; expected a plain number"
            raise plugin_error(estimator, "estimate", what)
    if wrong := wrong_metrics(estimate.metrics):
        raise plugin_error(estimator, "estimate", wrong)
    return estimate


def known_point(estimator: RefPointEstimator, state: Mapping[str, float]) -> Estimate:
    """Returns the point of a `lagged` estimator before anything is observed.

    Raises:
        PluginError: When it is not a plain number.
    """
    value: object = estimator.point_from(state)
    if not is_number(value):
        what = f"returned {value!r}; expected a plain number, as float() makes one"
        raise plugin_error(estimator, "point_from", what)
    return Estimate(value)


def points_within(estimator: RefPointEstimator, chosen: Tensor, rejected: Tensor) -> Tensor:
    """Returns the reference point of each chosen completion, from its own pair [P].

    Args:
        estimator: An estimator that observes each pair.
        chosen: Log-ratio of each chosen completion, nats [P].
        rejected: Log-ratio of each rejected completion, nats [P].

    Raises:
        PluginError: When there is not exactly one point per pair.
    """
    points: object = estimator.within_pair(chosen, rejected)
    if not is_tensor(points):
        what = f"returned {type(points).__name__}; expected a tensor, one point per pair"
        raise plugin_error(estimator, "within_pair", what)
    if tuple(points.shape) != tuple(chosen.shape):
        raise plugin_error(
            estimator,
            "within_pair",
            f"gave points of the shape {tuple(points.shape)} for {len(chosen)} pairs; expected "
            f"({len(chosen)},), one for each chosen completion",
        )
    if not points.is_floating_point():
        what = f"gave points of {points.dtype}; expected floats, as the log-ratios are"
        raise plugin_error(estimator, "within_pair", what)
    return points
