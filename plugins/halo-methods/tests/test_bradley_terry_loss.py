import math

import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.bradley_terry import bradley_terry_loss
from halo_methods.components import BradleyTerry

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CHOSEN, REJECTED = torch.randn(
    2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(3)


def equation_1(chosen, rejected):
    """Report eq. 1 in plain Python: the probability that the chosen one is preferred."""
    return math.exp(chosen) / (math.exp(chosen) + math.exp(rejected))


def test_loss_is_the_negative_log_of_equation_1():
    pairs = zip(CHOSEN.tolist(), REJECTED.tolist(), strict=True)
    expected = [-math.log(equation_1(*pair)) for pair in pairs]

    losses = bradley_terry_loss(CHOSEN, REJECTED)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_equal_scores_lose_log_two():
    losses = bradley_terry_loss(CHOSEN, CHOSEN)

    torch.testing.assert_close(losses, torch.full_like(losses, math.log(2)), **EXACT)


def test_a_constant_added_to_both_scores_changes_nothing():
    torch.testing.assert_close(
        bradley_terry_loss(CHOSEN + 7.0, REJECTED + 7.0), bradley_terry_loss(CHOSEN, REJECTED)
    )


def test_swapping_the_pair_adds_the_difference():
    swapped = bradley_terry_loss(REJECTED, CHOSEN) - bradley_terry_loss(CHOSEN, REJECTED)

    torch.testing.assert_close(swapped, CHOSEN - REJECTED, **EXACT)


def test_it_needs_no_log_probabilities_but_a_score_at_the_end():
    (head,) = BradleyTerry().heads()

    assert BradleyTerry.needs == ()
    assert (head.name, head.at, head.hidden_layers, head.detached) == ("score", "end", 0, False)


def test_the_component_scores_with_its_head():
    batch = loss_batch(
        [[0.0], [0.0], [0.0], [0.0]],
        desirable=[True, False, True, False],
        examples=[0, 0, 1, 1],
        heads={"score": [1.0, 0.5, -2.0, 1.0]},
    )

    output = BradleyTerry()(batch)

    expected = [math.log1p(math.exp(-0.5)), math.log1p(math.exp(3.0))]
    assert output.losses.tolist() == pytest.approx(expected)
    assert output.rewards.tolist() == [1.0, 0.5, -2.0, 1.0]
    assert output.weights is None
