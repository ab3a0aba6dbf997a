"""Checks the promises of every loss: one value per example, right gradients, no side effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from halo_core.guarded.loss_calls import wrong_metrics
from halo_core.loss import Head, Loss, LossOutput, Need
from halo_core.testing.component import check_component, check_rules, expect
from halo_core.testing.losses.applied_once import check_applied_once
from halo_core.testing.losses.gradients import (
    check_extremes,
    check_gradient,
    check_heads,
    check_own_points,
)
from halo_core.testing.losses.loss_abilities import check_abilities
from halo_core.testing.losses.loss_cases import (
    COMPLETIONS,
    Case,
    batch_of,
    call,
    inputs_of,
    mixed_case,
    ordinary_cases,
    outlier_case,
    settled_loss,
)
from halo_core.testing.losses.loss_corrections import check_corrects
from halo_core.testing.losses.loss_inputs import (
    check_direction,
    check_dtype_and_device,
    check_untouched,
)
from halo_core.testing.losses.loss_needs import check_needs
from halo_core.testing.losses.loss_reports import (
    check_long_completions,
    check_other_options,
    check_reported,
    check_speed,
)
from halo_core.testing.losses.loss_rewards import check_rewards, check_stateless
from halo_core.testing.losses.metric_pairs import wrong_metric

if TYPE_CHECKING:
    from torch import Tensor

KNOWN_NEEDS = set(get_args(Need))
SAME = 1e-12
"""Relative tolerance in float64 for numbers that may differ only by the order of sums."""


def check_loss(loss: Loss) -> None:
    """Runs `check_component` and all of `LOSS_CHECKS`.

    The losses must depend on the policy or on the heads, and their gradient must be their
    derivative. A loss that stops a part of its gradient names the rule `gradient` in its
    `unchecked_rules`. Open options that depend on counts are settled first.

    Args:
        loss: A loss with its options.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(loss)
    check_rules(loss, LOSS_CHECKS)


def check_declaration(loss: Loss) -> None:
    """Checks the kind of feedback, the needs, the heads and the default reference point."""
    feedback, needed = loss.resolved_feedback(), loss.needed()
    expect(
        feedback in COMPLETIONS,
        loss,
        f"feedback is {feedback!r}; expected one of {', '.join(COMPLETIONS)}",
    )
    declared = getattr(type(loss), "needs", needed)
    unknown = {*needed, *declared} - KNOWN_NEEDS
    expect(
        not unknown,
        loss,
        f"needs {', '.join(map(repr, sorted(unknown)))}; known: {sorted(KNOWN_NEEDS)}",
    )
    expect(
        "reference_point" not in needed or loss.resolved_reference_point() is not None,
        loss,
        "needs 'reference_point'; set default_reference_point for specs that name none",
    )
    more = set(needed) - set(declared)
    expect(
        not more,
        loss,
        f"needed() names {', '.join(map(repr, sorted(more)))}, which `needs` does not",
    )
    heads = list(loss.heads())
    expect(
        all(isinstance(head, Head) for head in heads)
        and len({h.name for h in heads}) == len(heads),
        loss,
        f"heads() gave {heads}; expected Heads with distinct names",
    )


def check_output(loss: Loss) -> None:
    """Checks the shapes, types and gradients of the output on each kind of batch."""
    loss = settled_loss(loss)
    for case in ordinary_cases(loss):
        batch = batch_of(loss, case)
        inputs_of(loss, batch)
        output = call(loss, batch, case)
        expect(
            isinstance(output, LossOutput),
            loss,
            f"on {case.name}: returned {type(output).__name__}; expected LossOutput",
        )
        _check_losses_and_weights(loss, case, output)
        _check_rewards_and_metrics(loss, case, output)


def _check_losses_and_weights(loss: Loss, case: Case, output: LossOutput) -> None:
    _expect_shape(loss, case, "losses", output.losses, (case.size,))
    expect(
        bool(output.losses.isfinite().all()),
        loss,
        f"on {case.name}: losses are {output.losses.tolist()}; expected finite values",
    )
    expect(
        output.losses.requires_grad,
        loss,
        f"on {case.name}: losses have no gradient; they must depend on the policy",
    )
    if output.weights is None:
        return
    _expect_shape(loss, case, "weights", output.weights, (case.size,))
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
    wrong = wrong_metrics(output.metrics)
    expect(wrong is None, loss, f"on {case.name}: it {wrong}")
    wrong = wrong_metric(output.metrics)
    expect(not wrong, loss, f"on {case.name}: {wrong}")


def check_permutation(loss: Loss) -> None:
    """Checks that the order of the examples does not change any of their losses."""
    loss = settled_loss(loss)
    case = mixed_case(loss)
    order = [2, 0, 3, 1]
    output = call(loss, batch_of(loss, case), case)
    moved_case = case.take(order, "a reordered batch")
    moved = call(loss, batch_of(loss, moved_case, whole=case), moved_case)
    _expect_same(loss, "in another order, losses", moved.losses, output.losses[order])
    _expect_same(loss, "in another order, weights", moved.counts, output.counts[order])
    if output.rewards is not None and moved.rewards is not None:
        rows = case.rows(order)
        _expect_same(loss, "in another order, rewards", moved.rewards, output.rewards[rows])


def check_group_order(loss: Loss) -> None:
    """Checks that the order of the completions in a group changes nothing."""
    loss = settled_loss(loss)
    if loss.resolved_feedback() != "scored":
        return
    mixed = mixed_case(loss)
    _check_group_order(loss, mixed)
    tied = [float(row % 2) for row in range(len(mixed.scores))]
    _check_group_order(loss, replace(mixed, name="a batch with equal scores", scores=tied))


def _check_group_order(loss: Loss, case: Case) -> None:
    output = call(loss, batch_of(loss, case), case)
    turned_case = case.turned("groups in another order")
    turned = call(loss, batch_of(loss, turned_case), turned_case)
    what = f"on {case.name}, with the completions of each group in another order"
    _expect_same(loss, f"{what}, losses", turned.losses, output.losses)
    _expect_same(loss, f"{what}, weights", turned.counts, output.counts)
    if output.rewards is not None and turned.rewards is not None:
        rows = [row for i in range(case.size) for row in reversed(case.rows([i]))]
        _expect_same(loss, f"{what}, rewards", turned.rewards, output.rewards[rows])


def check_split(loss: Loss) -> None:
    """Checks that an example's loss does not depend on other examples of its micro-batch.

    The trainer cuts a global batch as memory allows, and this must not change what is learned.
    """
    loss = settled_loss(loss)
    for case, of in ((mixed_case(loss), ""), (outlier_case(loss), " of a batch with outliers")):
        whole = call(loss, batch_of(loss, case), case)
        for example in range(case.size):
            name = f"example {example}{of} alone"
            alone_case = case.take([example], name)
            alone = call(loss, batch_of(loss, alone_case, whole=case), alone_case)
            one = slice(example, example + 1)
            _expect_same(loss, f"{name}, losses", alone.losses, whole.losses[one])
            _expect_same(loss, f"{name}, weights", alone.counts, whole.counts[one])


LOSS_CHECKS: Sequence[Callable[[Loss], None]] = (
    check_declaration,
    check_output,
    check_speed,
    check_untouched,
    check_heads,
    check_gradient,
    check_extremes,
    check_permutation,
    check_group_order,
    check_split,
    check_reported,
    check_long_completions,
    check_own_points,
    check_abilities,
    check_dtype_and_device,
    check_direction,
    check_corrects,
    check_applied_once,
    check_rewards,
    check_needs,
    check_other_options,
    check_stateless,
)
"""The checks that `check_loss` runs after `check_component`, for ``pytest.mark.parametrize``."""


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
