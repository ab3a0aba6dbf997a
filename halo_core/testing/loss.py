"""Checks what every loss promises: one value per example, right gradients, nothing else touched."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.testing.cases import (
    COMPLETIONS,
    Case,
    extreme_cases,
    mixed_case,
    ordinary_cases,
)
from halo_core.testing.component import check_component
from halo_core.testing.expect import expect, must_not_raise

if TYPE_CHECKING:
    from torch import Tensor

KNOWN_NEEDS = {"policy_logps", "reference_logps", "reference_point"}
SAME = 1e-12
"""Relative tolerance in float64 for numbers that must be the same but for the order of sums."""


def check_loss(loss: Loss) -> None:
    """Runs `check_component` and all of `LOSS_CHECKS`.

    The losses must depend on the policy through a gradient that is their derivative: a loss that
    stops the gradient of a part of itself fails `check_gradient`; run the other checks then.

    Args:
        loss: One with the options it is used with.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(loss)
    for check in LOSS_CHECKS:
        check(loss)


def check_declaration(loss: Loss) -> None:
    """Checks `feedback`, `needs`, and that a loss that needs a reference point has a default."""
    expect(
        loss.feedback in COMPLETIONS,
        loss,
        f"feedback is {loss.feedback!r}; expected one of {', '.join(COMPLETIONS)}",
    )
    unknown = set(loss.needs) - KNOWN_NEEDS
    expect(
        not unknown,
        loss,
        f"needs names {', '.join(map(repr, sorted(unknown)))}; known: {sorted(KNOWN_NEEDS)}",
    )
    expect(
        "reference_point" not in loss.needs or loss.default_reference_point is not None,
        loss,
        "needs names 'reference_point'; set default_reference_point, for specs that name none",
    )


def check_output(loss: Loss) -> None:
    """Checks the shapes, types and gradients of what comes back, on each kind of batch."""
    for case in ordinary_cases(loss.feedback):
        output = _call(loss, _with_gradient(case.batch(loss.needs)), case)
        expect(
            isinstance(output, LossOutput),
            loss,
            f"on {case.name}: returned {type(output).__name__}; expected LossOutput",
        )
        _check_losses_and_weights(loss, case, output)
        _check_rewards_and_metrics(loss, case, output)


def _check_losses_and_weights(loss: Loss, case: Case, output: LossOutput) -> None:
    _expect_shape(loss, case, "losses", output.losses, (case.size,))
    _expect_shape(loss, case, "weights", output.weights, (case.size,))
    expect(
        output.losses.requires_grad,
        loss,
        f"on {case.name}: losses have no gradient; they must depend on the policy",
    )
    _expect_detached(loss, case, "weights", output.weights)
    weights = output.weights.tolist()
    expect(
        all(0 <= weight < float("inf") for weight in weights),
        loss,
        f"on {case.name}: weights are {weights}; expected finite values of at least 0",
    )


def _check_rewards_and_metrics(loss: Loss, case: Case, output: LossOutput) -> None:
    if output.rewards is not None:
        _expect_shape(loss, case, "rewards", output.rewards, (len(case.policy),))
        _expect_detached(loss, case, "rewards", output.rewards)
    for name, pair in output.metrics.items():
        for part, value in zip(("sum", "count"), pair, strict=True):
            _expect_shape(loss, case, f"the {part} of metric {name!r}", value, ())
            _expect_detached(loss, case, f"the {part} of metric {name!r}", value)


def check_untouched(loss: Loss) -> None:
    """Checks that a call changes neither the batch nor the random state, and repeats itself."""
    import torch

    case = mixed_case(loss.feedback)
    batch, before = case.batch(loss.needs), case.batch(loss.needs)
    states = random.getstate(), torch.get_rng_state()
    first = _call(loss, batch, case)
    for field in fields(LossBatch):
        now, then = getattr(batch, field.name), getattr(before, field.name)
        expect(
            then is None or torch.equal(now, then),
            loss,
            f"it changes the batch's {field.name} in place; work on a copy",
        )
    expect(
        random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1]),
        loss,
        "it draws random numbers; a resumed run would not repeat them",
    )
    _expect_same(loss, "called again, losses", _call(loss, batch, case).losses, first.losses)


def check_gradient(loss: Loss) -> None:
    """Checks the gradient of the losses against finite differences, in float64."""
    import torch

    for case in ordinary_cases(loss.feedback):
        batch = case.batch(loss.needs)

        def losses(token_logps: Tensor, batch: LossBatch = batch, case: Case = case) -> Tensor:
            return _call(loss, replace(batch, policy_token_logps=token_logps), case).losses

        tokens = batch.policy_token_logps.requires_grad_()
        with must_not_raise(loss, f"the gradient on {case.name}"):
            right = torch.autograd.gradcheck(losses, (tokens,), raise_exception=False)
        expect(
            right,
            loss,
            f"on {case.name}: the gradient of the losses is not their derivative "
            "(torch.autograd.gradcheck in float64)",
        )


def check_extremes(loss: Loss) -> None:
    """Checks that losses and gradients are finite, in float32, at log-ratios of +-1e4."""
    for case in extreme_cases(loss.feedback):
        batch = _with_gradient(case.batch(loss.needs, dtype="float32"))
        output = _call(loss, batch, case)
        expect(
            bool(output.losses.isfinite().all()),
            loss,
            f"on {case.name}: losses are {output.losses.tolist()}; expected finite values",
        )
        (output.losses * output.weights).sum().backward()  # type: ignore[no-untyped-call]
        gradient = batch.policy_token_logps.grad
        expect(
            gradient is not None and bool(gradient.isfinite().all()),
            loss,
            f"on {case.name}: the gradient is not finite",
        )


def check_permutation(loss: Loss) -> None:
    """Checks that the order of the examples makes no difference to any of them."""
    case = mixed_case(loss.feedback)
    order = [2, 0, 3, 1]
    output = _call(loss, case.batch(loss.needs), case)
    moved_case = case.take(order, "a reordered batch")
    moved = _call(loss, moved_case.batch(loss.needs), moved_case)
    _expect_same(loss, "in another order, losses", moved.losses, output.losses[order])
    _expect_same(loss, "in another order, weights", moved.weights, output.weights[order])
    if output.rewards is not None and moved.rewards is not None:
        width = case.width
        rows = [example * width + offset for example in order for offset in range(width)]
        _expect_same(loss, "in another order, rewards", moved.rewards, output.rewards[rows])


def check_split(loss: Loss) -> None:
    """Checks that an example's loss does not depend on the others of its micro-batch.

    The trainer cuts a global batch as memory allows, which must not change what is learned.
    """
    case = mixed_case(loss.feedback)
    whole = _call(loss, case.batch(loss.needs), case)
    for example in range(case.size):
        alone_case = case.take([example], f"example {example} alone")
        alone = _call(loss, alone_case.batch(loss.needs), alone_case)
        one = slice(example, example + 1)
        _expect_same(loss, f"example {example} alone, losses", alone.losses, whole.losses[one])
        _expect_same(loss, f"example {example} alone, weights", alone.weights, whole.weights[one])


LOSS_CHECKS: Sequence[Callable[[Loss], None]] = (
    check_declaration,
    check_output,
    check_untouched,
    check_gradient,
    check_extremes,
    check_permutation,
    check_split,
)
"""What `check_loss` runs after `check_component`, for ``pytest.mark.parametrize``."""


def _call(loss: Loss, batch: LossBatch, case: Case) -> LossOutput:
    with must_not_raise(loss, f"a call on {case.name}"):
        return loss(batch)


def _with_gradient(batch: LossBatch) -> LossBatch:
    return replace(batch, policy_token_logps=batch.policy_token_logps.requires_grad_())


def _expect_shape(
    loss: Loss, case: Case, name: str, values: Tensor, shape: tuple[int, ...]
) -> None:
    came = tuple(values.shape)
    expect(came == shape, loss, f"on {case.name}: {name}: the shape is {came}; expected {shape}")


def _expect_detached(loss: Loss, case: Case, name: str, values: Tensor) -> None:
    expect(
        not values.requires_grad,
        loss,
        f"on {case.name}: {name}: expected no gradient; use .detach()",
    )


def _expect_same(loss: Loss, name: str, came: Tensor, expected: Tensor) -> None:
    import torch

    expect(
        torch.allclose(came, expected, rtol=SAME, atol=SAME),
        loss,
        f"{name} are {came.tolist()}; expected {expected.tolist()}",
    )
