"""The loss agrees with its definition, and keeps the rules of halo."""

import math

import pytest
import torch
from halo_exo.pair import Pair, exo_pair_loss

from halo_core.testing import check_loss


def by_hand(margin: float, noise: float) -> float:
    """Returns the divergence between two distributions over the two completions."""
    policy = [math.exp(margin), 1.0]
    policy = [each / sum(policy) for each in policy]
    people = [1 - noise, noise]
    return sum(p * math.log(p / q) for p, q in zip(policy, people, strict=True))


def test_the_loss_keeps_the_rules() -> None:
    check_loss(Pair(beta=0.2))
    check_loss(Pair(beta=0.05, label_noise=0.3))


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.4])
def test_it_is_the_divergence_and_the_value_its_negative(noise: float) -> None:
    margins = [-9.0, -1.0, 0.0, 0.3, 5.0]
    losses = exo_pair_loss(torch.tensor(margins, dtype=torch.float64), label_noise=noise)
    expected = [by_hand(margin, noise) for margin in margins]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    values = [Pair(label_noise=noise).value(margin) for margin in margins]
    assert values == pytest.approx([-each for each in expected], rel=1e-12)


def test_it_is_least_where_the_policy_agrees_with_people() -> None:
    best = math.log(0.9 / 0.1)
    margins = torch.tensor([best - 0.1, best, best + 0.1], dtype=torch.float64)
    below, least, above = exo_pair_loss(margins, label_noise=0.1).tolist()
    assert least == pytest.approx(0.0, abs=1e-15)
    assert min(below, above) > 1e-4


def test_it_stays_finite_at_extremes() -> None:
    margins = torch.tensor([-1e4, 1e4], requires_grad=True)
    losses = exo_pair_loss(margins, label_noise=0.01)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert margins.grad is not None
    assert torch.isfinite(margins.grad).all()
