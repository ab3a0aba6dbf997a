import pytest
import torch

from halo_methods.advantages import gae_advantages, last_tokens, token_positions

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LENGTHS = [3, 1, 5, 2]
INDEX = torch.arange(4).repeat_interleave(torch.tensor(LENGTHS))
REWARDS, VALUES = torch.randn(
    2, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
)


def equation_16(rewards, values, gamma, gae_lambda):
    """Schulman et al. eq. 16 in plain Python: the sum of all later errors, not a recursion."""
    ahead = [*values, 0.0]
    errors = [r + gamma * ahead[t + 1] - ahead[t] for t, r in enumerate(rewards)]
    return [
        sum((gamma * gae_lambda) ** (s - t) * errors[s] for s in range(t, len(errors)))
        for t in range(len(errors))
    ]


def recomputed(rewards, values, gamma, gae_lambda):
    parts = zip(rewards.split(LENGTHS), values.split(LENGTHS), strict=True)
    advantages = [
        a for r, v in parts for a in equation_16(r.tolist(), v.tolist(), gamma, gae_lambda)
    ]
    return torch.tensor(advantages, dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_advantages_are_equation_16_for_completions_of_any_length(gamma, gae_lambda):
    came = gae_advantages(REWARDS, VALUES, INDEX, gamma=gamma, gae_lambda=gae_lambda)

    torch.testing.assert_close(came, recomputed(REWARDS, VALUES, gamma, gae_lambda), **EXACT)


def test_without_discount_advantages_and_values_add_up_to_all_that_follows():
    returns = VALUES + gae_advantages(REWARDS, VALUES, INDEX, gamma=1.0, gae_lambda=1.0)

    follows = [part.flip(0).cumsum(0).flip(0) for part in REWARDS.split(LENGTHS)]
    torch.testing.assert_close(returns, torch.cat(follows), **EXACT)


def test_a_critic_that_is_right_leaves_no_advantage():
    values = torch.cat([part.flip(0).cumsum(0).flip(0) for part in REWARDS.split(LENGTHS)])

    came = gae_advantages(REWARDS, values, INDEX, gamma=1.0, gae_lambda=0.7)

    torch.testing.assert_close(came, torch.zeros_like(values), **EXACT)


def test_completions_do_not_see_each_other():
    whole = gae_advantages(REWARDS, VALUES, INDEX, gamma=0.99, gae_lambda=0.95)

    alone = [
        gae_advantages(r, v, torch.zeros(len(r), dtype=torch.long), gamma=0.99, gae_lambda=0.95)
        for r, v in zip(REWARDS.split(LENGTHS), VALUES.split(LENGTHS), strict=True)
    ]
    torch.testing.assert_close(torch.cat(alone), whole, **EXACT)


def test_completions_may_come_in_any_order():
    order = torch.cat([torch.arange(11).split(LENGTHS)[i] for i in (2, 0, 3, 1)])

    came = gae_advantages(REWARDS[order], VALUES[order], INDEX[order], gamma=0.99, gae_lambda=0.95)

    whole = gae_advantages(REWARDS, VALUES, INDEX, gamma=0.99, gae_lambda=0.95)
    torch.testing.assert_close(came, whole[order], **EXACT)


def test_no_gradient_flows_through_advantages():
    rewards, values = REWARDS.clone().requires_grad_(), VALUES.clone().requires_grad_()

    assert not gae_advantages(rewards, values, INDEX, gamma=0.9, gae_lambda=0.9).requires_grad


def test_each_completion_has_one_last_token():
    assert last_tokens(INDEX, 4).nonzero().flatten().tolist() == [2, 3, 8, 10]


def test_positions_count_within_a_completion_also_when_tokens_are_interleaved():
    positions, lengths = token_positions(torch.tensor([1, 0, 1, 1, 0]), 3)

    assert positions.tolist() == [0, 0, 1, 2, 1]
    assert lengths.tolist() == [2, 3, 0]


@pytest.mark.parametrize(
    ("rewards", "values", "index"),
    [
        (REWARDS[:5], VALUES, INDEX),
        (REWARDS, VALUES[:5], INDEX),
        (REWARDS, VALUES, INDEX[:5]),
        (REWARDS[None], VALUES[None], INDEX[None]),
    ],
)
def test_wrong_shapes_are_refused(rewards, values, index):
    with pytest.raises(ValueError, match=r"gae_advantages: rewards \(.*all must have the shape"):
        gae_advantages(rewards, values, index, gamma=0.9, gae_lambda=0.9)
