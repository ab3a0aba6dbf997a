import math

import pytest
import torch

from halo_methods.ppo import (
    critic_token_loss,
    plain_advantages,
    ppo_token_loss,
    ratios,
    token_rewards,
    whitened,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LOGRATIOS, ADVANTAGES = torch.randn(
    2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
)
INDEX = torch.tensor([0, 0, 0, 1, 2, 2])
DESIRABLE = torch.tensor([True, False, True])


def clipped_objective(policy, reference, advantage, low, high):
    """The report's section 3.3 in plain Python, with q the ratio of probabilities."""
    q = math.exp(policy) / math.exp(reference)
    return -min(q * advantage, min(max(q, low), high) * advantage)


def loss(logratios, advantages, low=0.5, high=2.0):
    return ppo_token_loss(logratios, advantages, clip_low=low, clip_high=high)


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (0.8, 1.2), (0.0, 1.5)])
def test_loss_is_the_clipped_objective_of_the_report(low, high):
    rows = zip(LOGRATIOS.tolist(), ADVANTAGES.tolist(), strict=True)
    expected = [clipped_objective(r - 2.0, -2.0, a, low, high) for r, a in rows]

    losses = loss(LOGRATIOS, ADVANTAGES, low, high)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_where_policy_equals_reference_the_loss_is_the_negative_advantage_and_so_is_its_slope():
    logratios = torch.zeros(12, dtype=torch.float64, requires_grad=True)

    losses = loss(logratios, ADVANTAGES)
    losses.sum().backward()

    torch.testing.assert_close(losses, -ADVANTAGES, **EXACT)
    torch.testing.assert_close(logratios.grad, -ADVANTAGES, **EXACT)


@pytest.mark.parametrize(
    ("q", "advantage", "moves"),
    [
        (2.5, 1.0, False),
        (0.4, 1.0, True),
        (2.5, -1.0, True),
        (0.4, -1.0, False),
        (1.9, 1.0, True),
        (0.6, -1.0, True),
    ],
)
def test_only_a_token_that_has_gone_far_enough_is_left_alone(q, advantage, moves):
    logratios = torch.tensor([math.log(q)], requires_grad=True)

    loss(logratios, torch.tensor([advantage])).sum().backward()

    expected = -q * advantage if moves else 0.0
    assert logratios.grad.item() == pytest.approx(expected)


def test_opposite_advantages_of_a_ratio_inside_the_clip_cancel():
    inside = LOGRATIOS.clamp(math.log(0.51), math.log(1.99))

    total = loss(inside, ADVANTAGES) + loss(inside, -ADVANTAGES)

    torch.testing.assert_close(total, torch.zeros_like(total), **EXACT)


def test_gradients_are_the_derivatives_at_given_advantages():
    logratios = LOGRATIOS.clone().requires_grad_()

    assert torch.autograd.gradcheck(lambda x: loss(x, ADVANTAGES), (logratios,))


@pytest.mark.parametrize("extreme", [1e4, -1e4])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_loss_and_gradient_are_finite_at_extreme_logratios(extreme, advantage):
    logratios = torch.tensor([extreme], requires_grad=True)

    losses = loss(logratios, torch.tensor([advantage]))
    losses.sum().backward()

    assert losses.isfinite().all()
    assert logratios.grad.isfinite().all()
    if extreme > 0 and advantage < 0:  # never clipped, and still with a gradient
        assert logratios.grad.item() > 0


def test_ratios_are_exponentials_and_go_on_as_their_tangent():
    x = torch.tensor([-3.0, 0.0, 1.0, 20.0, 21.0, 30.0], dtype=torch.float64, requires_grad=True)

    q = ratios(x)
    q.sum().backward()

    top = math.exp(20.0)
    assert q.tolist() == pytest.approx([math.exp(-3), 1, math.e, top, 2 * top, 11 * top])
    assert x.grad.tolist() == pytest.approx([math.exp(-3), 1, math.e, top, top, top])


def test_order_of_tokens_makes_no_difference():
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))

    moved = loss(LOGRATIOS[order], ADVANTAGES[order])

    torch.testing.assert_close(moved, loss(LOGRATIOS, ADVANTAGES)[order], **EXACT)


def test_no_gradient_flows_through_advantages_or_returns():
    logratios, given = LOGRATIOS.clone().requires_grad_(), ADVANTAGES.clone().requires_grad_()

    (loss(logratios, given) + critic_token_loss(logratios, given)).sum().backward()

    assert given.grad is None


def test_plain_advantages_are_the_label_less_the_penalty_of_the_token():
    logratios = torch.tensor([0.0, 1.0, -2.0, 3.0, 0.5, 0.0], requires_grad=True)

    came = plain_advantages(logratios, INDEX, DESIRABLE, kl_coefficient=0.1)

    assert came.tolist() == pytest.approx([1.0, 0.9, 1.2, -1.3, 0.95, 1.0])
    assert not came.requires_grad


def test_a_completion_is_rewarded_at_its_last_token_and_penalised_at_each():
    logratios = torch.tensor([0.0, 1.0, -2.0, 3.0, 0.5, 0.0], requires_grad=True)

    came = token_rewards(logratios, INDEX, DESIRABLE, kl_coefficient=0.1)

    assert came.tolist() == pytest.approx([0.0, -0.1, 1.2, -1.3, -0.05, 1.0])
    assert not came.requires_grad


def test_the_labels_of_the_two_classes_are_opposite():
    zeros = torch.zeros(6)

    for function in (plain_advantages, token_rewards):
        came = function(zeros, INDEX, DESIRABLE, kl_coefficient=0.0)
        mirrored = function(zeros, INDEX, ~DESIRABLE, kl_coefficient=0.0)
        assert torch.equal(mirrored, -came)


def test_whitened_advantages_have_mean_zero_and_variance_one():
    moved = 3.0 * ADVANTAGES + 7.0

    came = whitened(moved, moved.sum(), (moved**2).sum(), torch.tensor(12.0))

    assert came.mean().item() == pytest.approx(0.0, abs=1e-9)
    assert came.var(unbiased=False).item() == pytest.approx(1.0, rel=1e-6)


def test_whitened_parts_use_the_whole():
    sums = ADVANTAGES.sum(), (ADVANTAGES**2).sum(), torch.tensor(12.0)

    torch.testing.assert_close(whitened(ADVANTAGES[:5], *sums), whitened(ADVANTAGES, *sums)[:5])


def test_equal_advantages_are_whitened_to_zero_and_not_to_a_division_by_zero():
    same = torch.full((3,), 0.1)

    came = whitened(same, same.sum(), (same**2).sum(), torch.tensor(3.0))

    assert came.isfinite().all()
    assert came.abs().max().item() < 1e-3


def test_a_variance_that_rounding_makes_negative_counts_as_zero():
    ones = torch.ones(3)

    came = whitened(ones, torch.tensor(3.0), torch.tensor(2.9999), torch.tensor(3.0))

    assert came.tolist() == [0.0, 0.0, 0.0]


def test_the_critic_loses_its_squared_error():
    values = torch.tensor([1.0, -2.0], requires_grad=True)

    errors = critic_token_loss(values, torch.tensor([0.5, 1.0]))
    errors.sum().backward()

    assert errors.tolist() == [0.25, 9.0]
    assert values.grad.tolist() == [1.0, -6.0]


def test_wrong_shapes_are_refused():
    both = r"must both have the shape \[N\], one value per token"
    with pytest.raises(ValueError, match=rf"token_logratios \(12,\) and advantages \(5,\) {both}"):
        loss(LOGRATIOS, ADVANTAGES[:5])
    with pytest.raises(ValueError, match=rf"ppo_token_loss: token_logratios \(1, 12\).* {both}"):
        loss(LOGRATIOS[None], ADVANTAGES[None])
    with pytest.raises(ValueError, match=rf"values \(12,\) and returns \(1,\) {both}"):
        critic_token_loss(LOGRATIOS, ADVANTAGES[:1])
    for function in (plain_advantages, token_rewards):
        with pytest.raises(ValueError, match=rf"{function.__name__}: token_logratios \(12,\) and"):
            function(LOGRATIOS, INDEX, DESIRABLE, kl_coefficient=0.0)
        with pytest.raises(
            ValueError, match=r"desirable is torch.int64 \(3,\); expected torch.boo"
        ):
            function(LOGRATIOS[:6], INDEX, DESIRABLE.long(), kl_coefficient=0.0)
