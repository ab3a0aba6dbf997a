import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.components import ORPO
from halo_methods.orpo import CERTAIN, log_odds, orpo_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CHOSEN = [[-0.5, -1.0, -0.25], [-2.0], [-0.1, -0.1]]
REJECTED = [[-1.5], [-0.5, -0.5, -3.0, -1.0], [-4.0, -0.3]]


def equations_4_to_7(chosen, rejected, weight):
    """Hong et al. in plain Python, from the odds as they are printed."""

    def odds(tokens):
        p = math.exp(sum(tokens) / len(tokens))  # their eq. 3
        return p / (1 - p)  # eq. 4

    ratio = odds(chosen) / odds(rejected)  # eq. 5
    odds_ratio_loss = -math.log(1 / (1 + math.exp(-math.log(ratio))))  # eq. 7
    return -sum(chosen) / len(chosen) + weight * odds_ratio_loss  # eq. 6


def loss(chosen, rejected, weight=0.5):
    sides = [
        torch.tensor([sum(tokens) for tokens in side], dtype=torch.float64)
        for side in (chosen, rejected)
    ]
    lengths = [
        torch.tensor([len(tokens) for tokens in side], dtype=torch.float64)
        for side in (chosen, rejected)
    ]
    return orpo_loss(*sides, *lengths, odds_ratio_weight=weight)


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_loss_is_equations_4_to_7(weight):
    pairs = zip(CHOSEN, REJECTED, strict=True)
    expected = [equations_4_to_7(w, rejected, weight) for w, rejected in pairs]

    losses = loss(CHOSEN, REJECTED, weight)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_log_odds_have_their_closed_form():
    p = torch.tensor([1e-9, 0.1, 0.5, 0.75, 0.999], dtype=torch.float64)

    torch.testing.assert_close(log_odds(p.log()), (p / (1 - p)).log(), rtol=1e-10, atol=1e-10)


def test_log_odds_of_opposite_probabilities_are_opposite():
    p = torch.linspace(0.01, 0.99, 21, dtype=torch.float64)

    torch.testing.assert_close(log_odds(p.log()), -log_odds((1 - p).log()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_odds_go_on_rising_by_a_finite_slope_at_certainty(dtype):
    logps = torch.tensor([2 * CERTAIN, CERTAIN, CERTAIN / 2, 0.0], dtype=dtype, requires_grad=True)

    odds = log_odds(logps)
    odds.sum().backward()

    assert odds.isfinite().all()
    assert (odds.diff() > 0).all()
    slope = 1 / (1 - math.exp(CERTAIN))
    assert logps.grad.tolist() == pytest.approx([slope / 2, slope, slope, slope], rel=1e-3)


def test_float32_log_odds_near_certainty_keep_their_digits():
    logps = torch.linspace(-1e-3, -1.1e-4, 50)

    expected = log_odds(logps.double()).float()

    torch.testing.assert_close(log_odds(logps), expected, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("sure", ["chosen", "rejected", "both"])
def test_a_completion_the_policy_is_sure_of_has_a_finite_loss_and_still_moves(sure):
    chosen = torch.tensor([0.0 if sure != "rejected" else -2.0], requires_grad=True)
    rejected = torch.tensor([0.0 if sure != "chosen" else -2.0], requires_grad=True)

    losses = orpo_loss(chosen, rejected, torch.ones(1), torch.ones(1), odds_ratio_weight=0.1)
    losses.sum().backward()

    assert losses.isfinite().all()
    assert chosen.grad.isfinite().all()
    assert rejected.grad.isfinite().all()
    assert rejected.grad.item() > 0


def test_two_alike_cost_their_likelihood_and_log_two():
    losses = loss(CHOSEN, CHOSEN, weight=1.0)

    means = torch.tensor([-sum(tokens) / len(tokens) for tokens in CHOSEN], dtype=torch.float64)
    torch.testing.assert_close(losses, means + math.log(2), **EXACT)


def test_the_component_is_the_function_and_its_rewards_are_log_odds():
    output = ORPO(odds_ratio_weight=0.5)(paired_batch(CHOSEN, REJECTED))

    torch.testing.assert_close(output.losses, loss(CHOSEN, REJECTED), **EXACT)
    p = math.exp(-1.75 / 3)
    assert output.rewards[0].item() == pytest.approx(math.log(p / (1 - p)))
    assert output.weights is None
