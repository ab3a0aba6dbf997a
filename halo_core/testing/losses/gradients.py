"""Checks that the gradients of a loss are right, finite, and reach all its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from halo_core.loss import Loss, LossBatch
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.losses.loss_cases import (
    HEAD,
    TOKENS,
    Case,
    batch_of,
    call,
    extreme_cases,
    inputs_of,
    mixed_case,
    ordinary_cases,
    settled_loss,
    with_inputs,
)

if TYPE_CHECKING:
    from torch import Tensor


STEP = 1e-6
"""Change of an input for a derivative from one side."""

SLACK = 1e-4
"""Relative and absolute error of such a derivative that is allowed."""


def import_torch() -> None:
    """Imports what the rules of losses use, so that no time limit interrupts an import.

    A module whose import was interrupted would break all later rules.
    """
    import torch

    number = torch.ones(1, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(torch.sin, (number,))


def check_gradient(loss: Loss) -> None:
    """Checks the gradient of the losses against finite differences, in float64.

    Raises:
        AssertionError: When it is not the derivative, or is 0 on all batches.
    """
    loss = settled_loss(loss)
    moves = False
    for case in ordinary_cases(loss):
        batch = batch_of(loss, case)
        _check_derivative(loss, case, batch)
        moves = moves or _moves(loss, case, batch)
    expect(
        moves,
        loss,
        "the gradient of the losses, times their weights, is 0 on all batches; a model would learn "
        "nothing",
    )


def check_heads(loss: Loss) -> None:
    """Checks that the losses depend on each head that the loss needs."""
    import torch

    loss = settled_loss(loss)
    case = mixed_case(loss)
    batch = batch_of(loss, case)
    inputs = inputs_of(loss, batch)
    names = [name for name in inputs if name.startswith(HEAD)]
    if not names:
        return
    total = call(loss, batch, case).losses.sum()
    gradients = torch.autograd.grad(total, [inputs[name] for name in names], allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        expect(
            gradient is not None,
            loss,
            f"the losses have no gradient for {name}; a head without a gradient learns nothing",
        )


def check_own_points(loss: Loss) -> None:
    """Checks a loss if each completion has its own reference point with a gradient.

    Such points come from an estimator that observes each pair.
    """
    loss = settled_loss(loss)
    if "reference_point" not in loss.needed():
        return
    case = mixed_case(loss)
    batch = batch_of(loss, case, own_points=True)
    output = call(loss, batch, case)
    came = tuple(output.losses.shape)
    expect(
        came == (case.size,),
        loss,
        f"with a reference point of each completion: the shape of losses is {came}; expected "
        f"{(case.size,)}",
    )
    _check_derivative(
        loss,
        case,
        batch,
        "with a reference point of each completion, whose gradient must flow (do not detach it), ",
    )


def _check_derivative(loss: Loss, case: Case, batch: LossBatch, when: str = "") -> None:
    import torch

    inputs = inputs_of(loss, batch)

    def losses(*tensors: Tensor) -> Tensor:
        given = dict(zip(inputs, tensors, strict=True))
        return call(loss, with_inputs(batch, given), case).losses

    given = tuple(inputs.values())
    with must_not_raise(loss, f"{when}the gradient on {case.name}"):
        right = torch.autograd.gradcheck(losses, given, raise_exception=False) or one_sided(
            losses, given
        )
    expect(
        right,
        loss,
        f"{when}on {case.name}: the gradient of the losses is not their derivative "
        "(torch.autograd.gradcheck in float64, and no derivative from one side either)",
    )


def one_sided(losses: Callable[..., Tensor], inputs: Sequence[Tensor]) -> bool:
    """Returns whether each gradient is between the derivatives from its two sides.

    A loss such as ``max(0, -r)`` has a kink where a policy equals its reference. There, its
    derivatives from the left and the right differ, and each number between them is a subgradient
    (Clarke 1990, theorem 2.5.1). Elsewhere, both are the derivative.

    Args:
        losses: The function, which gives one loss per example.
        inputs: Its arguments, which ask for gradients, in float64.
    """
    import torch

    values = losses(*inputs)
    rows = [
        torch.autograd.grad(each, inputs, retain_graph=True, allow_unused=True) for each in values
    ]
    for place, tensor in enumerate(inputs):
        for item in range(tensor.numel()):
            sides = []
            for move in (-STEP, STEP):
                moved = [each.detach().clone() for each in inputs]
                moved[place].view(-1)[item] += move
                sides.append((losses(*moved).detach() - values.detach()) / move)
            low, high = torch.minimum(*sides), torch.maximum(*sides)
            slack = SLACK * (1 + torch.maximum(low.abs(), high.abs()))
            found = [0.0 if row[place] is None else row[place].view(-1)[item] for row in rows]
            came = torch.as_tensor(found, dtype=low.dtype)
            if not bool(((low - slack <= came) & (came <= high + slack)).all()):
                return False
    return True


def _moves(loss: Loss, case: Case, batch: LossBatch) -> bool:
    """Returns whether the weighted losses of a batch have a gradient that is not 0."""
    import torch

    inputs = list(inputs_of(loss, batch).values())
    output = call(loss, batch, case)
    losses = output.losses * output.counts
    total = losses @ torch.arange(1.0, 1.0 + len(losses), dtype=losses.dtype)
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def check_extremes(loss: Loss) -> None:
    """Checks that losses and gradients are finite, in float32, at log-ratios of +-1e4."""
    loss = settled_loss(loss)
    for case in extreme_cases(loss):
        batch = batch_of(loss, case, dtype="float32")
        inputs = inputs_of(loss, batch)
        output = call(loss, batch, case)
        expect(
            bool(output.losses.isfinite().all()),
            loss,
            f"on {case.name}: losses are {output.losses.tolist()}; expected finite values",
        )
        (output.losses * output.counts).sum().backward()  # type: ignore[no-untyped-call]
        for name, tensor in inputs.items():
            expect(
                tensor.grad is not None and bool(tensor.grad.isfinite().all()),
                loss,
                f"on {case.name}: the gradient is not finite"
                + ("" if name == TOKENS else f" for {name}"),
            )
