import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.components import SimPO
from halo_methods.simpo import simpo_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CHOSEN = [[-0.5, -1.0, -0.25], [-2.0], [-0.1, -0.1]]
REJECTED = [[-1.5], [-0.5, -0.5, -3.0, -1.0], [-4.0, -0.3]]


def equation_6(chosen, rejected, beta, gamma):
    """Meng et al. eq. 6 in plain Python, token by token."""
    reward_w = beta / len(chosen) * sum(math.log(math.exp(logp)) for logp in chosen)
    reward_l = beta / len(rejected) * sum(math.log(math.exp(logp)) for logp in rejected)
    return -math.log(1 / (1 + math.exp(-(reward_w - reward_l - gamma))))


def summed(completions):
    logps = torch.tensor([sum(tokens) for tokens in completions], dtype=torch.float64)
    return logps, torch.tensor([float(len(tokens)) for tokens in completions]).double()


def loss(chosen, rejected, beta=2.0, gamma=0.0):
    (chosen, chosen_lengths), (rejected, rejected_lengths) = summed(chosen), summed(rejected)
    return simpo_loss(chosen, rejected, chosen_lengths, rejected_lengths, beta=beta, gamma=gamma)


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (2.5, 0.0), (0.1, 0.3)])
def test_loss_is_equation_6(beta, gamma):
    pairs = zip(CHOSEN, REJECTED, strict=True)
    expected = [equation_6(w, rejected, beta, gamma) for w, rejected in pairs]

    losses = loss(CHOSEN, REJECTED, beta, gamma)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_loss_is_log_two_where_the_margin_is_exactly_kept():
    assert loss([[-0.5]], [[-1.0, -1.0]], gamma=1.0).item() == pytest.approx(math.log(2))


def test_without_a_margin_swapping_the_pair_adds_the_difference_of_rewards():
    swapped = loss(REJECTED, CHOSEN) - loss(CHOSEN, REJECTED)

    means = [[sum(t) / len(t) for t in side] for side in (CHOSEN, REJECTED)]
    expected = 2.0 * (torch.tensor(means[0]) - torch.tensor(means[1])).double()
    torch.testing.assert_close(swapped, expected, rtol=1e-6, atol=1e-6)


def test_repeating_a_completion_changes_nothing():
    doubled = [tokens * 2 for tokens in CHOSEN]

    torch.testing.assert_close(loss(doubled, REJECTED), loss(CHOSEN, REJECTED), **EXACT)


def test_a_larger_margin_costs_more():
    assert (loss(CHOSEN, REJECTED, gamma=1.0) > loss(CHOSEN, REJECTED, gamma=0.5)).all()


def test_the_component_is_the_function_and_its_rewards_are_the_terms_compared():
    output = SimPO(beta=2.5, gamma=0.5)(paired_batch(CHOSEN, REJECTED))

    expected = loss(CHOSEN, REJECTED, beta=2.5, gamma=0.5)
    torch.testing.assert_close(output.losses, expected, **EXACT)
    assert output.weights is None
    assert output.rewards[:2].tolist() == pytest.approx([2.5 * -1.75 / 3, 2.5 * -1.5])
