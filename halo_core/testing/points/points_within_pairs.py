"""Checks estimators that make the point of each chosen completion from its own pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from halo_core.reference_point import RefPointEstimator
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.losses.gradients import one_sided

if TYPE_CHECKING:
    from torch import Tensor

PAIRS = 5
"""Pairs of a micro-batch."""

FAR = 1e4
"""Factor of log-ratios, with which some are far from the others."""


def check_within_pair(estimator: RefPointEstimator) -> None:
    """Checks the points of some pairs, and that the log-ratios stay as they are.

    Raises:
        AssertionError: When there is not one finite point per pair, a point depends on other pairs,
            an input is changed, or a gradient is not the derivative.
    """
    import torch

    chosen, rejected = _logratios()
    with must_not_raise(estimator, "within_pair()"):
        points = estimator.within_pair(chosen.clone(), rejected.clone())
        far = estimator.within_pair(FAR * chosen, FAR * rejected)
    expect(
        tuple(points.shape) == (PAIRS,),
        estimator,
        f"within_pair(): the shape is {tuple(points.shape)}; expected ({PAIRS},), one point per "
        "pair",
    )
    for factor, together in ((1.0, points), (FAR, far)):
        with must_not_raise(estimator, "within_pair() of a single pair"):
            alone = [
                estimator.within_pair(
                    factor * chosen[i : i + 1].clone(), factor * rejected[i : i + 1].clone()
                )
                for i in range(PAIRS)
            ]
        expect(
            bool(together.isfinite().all()),
            estimator,
            f"within_pair(): not finite at log-ratios of {factor:g}",
        )
        expect(
            torch.allclose(torch.cat(alone), together),
            estimator,
            "within_pair(): the point of a pair depends on the other pairs of its micro-batch, at "
            f"log-ratios of about {factor:g}",
        )
    _check_inputs_stay(estimator)
    inputs = chosen.requires_grad_(), rejected.requires_grad_()
    with must_not_raise(estimator, "within_pair() with log-ratios that ask for gradients"):
        has_gradient = estimator.within_pair(*inputs).requires_grad
        right = not has_gradient or _is_derivative(estimator, inputs)
    expect(right, estimator, "within_pair(): the gradient is not the derivative")


def check_within_pair_gradient(estimator: RefPointEstimator) -> None:
    """Checks that a point that changes with a log-ratio has a gradient for it.

    An estimator that stops the gradient on purpose leaves this rule out. It is also left out by an
    estimator that leaves out `check_within_pair`.

    Raises:
        AssertionError: When it has none.
    """
    if "within-pair" in estimator.unchecked_rules():
        return
    chosen, rejected = _logratios()
    inputs = chosen.requires_grad_(), rejected.requires_grad_()
    with must_not_raise(estimator, "within_pair() with log-ratios that ask for gradients"):
        right = _is_derivative(estimator, inputs)
    expect(
        right,
        estimator,
        "within_pair(): the points change with the log-ratios, and their gradient is not this "
        "change; expected the derivative, because the training goes through the points. Do not "
        "detach a log-ratio",
    )


def check_within_pair_uses(estimator: RefPointEstimator) -> None:
    """Checks that points that depend on a pair depend on its rejected completion.

    The loss sees only the chosen one, so the rejected ones would be computed for nothing.

    Raises:
        AssertionError: When points depend on the chosen log-ratios only.
    """
    import torch

    chosen, rejected = _logratios()
    with must_not_raise(estimator, "within_pair()"):
        points = estimator.within_pair(chosen.clone(), rejected.clone())
        of_chosen = estimator.within_pair(3 * chosen - 1, rejected.clone())
        of_rejected = [
            estimator.within_pair(chosen.clone(), factor * rejected - factor)
            for factor in (3.0, -3.0)
        ]
    expect(
        torch.equal(points, of_chosen)
        or not all(torch.equal(points, each) for each in of_rejected),
        estimator,
        "within_pair(): no rejected log-ratio changes a point, and chosen ones do; so the rejected "
        "completions, which the loss does not see, have no effect. Use both, or observe 'own'",
    )


def _logratios() -> tuple[Tensor, Tensor]:
    """Returns log-ratios of both signs and of several sizes."""
    import torch

    generator = torch.Generator().manual_seed(0)
    chosen, rejected = 2 * torch.randn(2, PAIRS, generator=generator, dtype=torch.float64)
    return chosen, rejected


def _check_inputs_stay(estimator: RefPointEstimator) -> None:
    """Checks that no log-ratio is changed in place, also where a clamp would change it."""
    import torch

    for dtype in (torch.float32, torch.float64):
        for scale in (1.0, 1e4):
            given = [(scale * each).to(dtype) for each in _logratios()]
            before = [each.clone() for each in given]
            versions = [each._version for each in given]
            with must_not_raise(estimator, f"within_pair() in {dtype}"):
                estimator.within_pair(*given)
            for name, now, then, version in zip(
                ("chosen", "rejected"), given, before, versions, strict=True
            ):
                expect(
                    torch.equal(now, then) and now._version == version,
                    estimator,
                    f"within_pair(): it changes the {name} log-ratios in place, which halo uses "
                    "after it; work on a copy",
                )


def _is_derivative(estimator: RefPointEstimator, inputs: Sequence[Tensor]) -> bool:
    """Returns whether the gradient of each point, 0 if it has none, is its derivative."""
    import torch

    def points(*tensors: Tensor) -> Tensor:
        # A sum with 0 times the inputs always has a gradient.
        made = estimator.within_pair(tensors[0], tensors[1])
        return made + 0 * (tensors[0] + tensors[1])

    return bool(torch.autograd.gradcheck(points, inputs, raise_exception=False)) or one_sided(
        points, inputs
    )


WITHIN_PAIR_CHECKS: Sequence[Callable[[RefPointEstimator], None]] = (
    check_within_pair,
    check_within_pair_gradient,
    check_within_pair_uses,
)
"""The checks of estimators that make their points within pairs."""
