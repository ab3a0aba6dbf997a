"""Offline PPO as a whole, against the same steps in plain Python."""

import math
from dataclasses import replace

import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.components import PPO

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}
POLICY = [[-1.0, -2.0, -0.5], [-4.0], [-0.2, -3.0]]
REFERENCE = [[-1.5, -1.0, -0.5], [-3.0], [-2.0, -2.5]]
DESIRABLE = [True, False, True]
VALUES = [[0.3, -0.2, 0.5], [0.1], [0.0, -0.4]]
BATCH = loss_batch(
    POLICY,
    reference=REFERENCE,
    desirable=DESIRABLE,
    heads={"value": [value for tokens in VALUES for value in tokens]},
)


def labelled_advantages(kl):
    return [
        [(1 if good else -1) - kl * (p - r) for p, r in zip(policy, reference, strict=True)]
        for policy, reference, good in zip(POLICY, REFERENCE, DESIRABLE, strict=True)
    ]


def critic_advantages(kl, gamma, gae_lambda):
    found = []
    for policy, reference, good, values in zip(POLICY, REFERENCE, DESIRABLE, VALUES, strict=True):
        rewards = [-kl * (p - r) for p, r in zip(policy, reference, strict=True)]
        rewards[-1] += 1 if good else -1
        advantages, later, value_after = [], 0.0, 0.0
        for reward, value in zip(reversed(rewards), reversed(values), strict=True):
            later = reward + gamma * value_after - value + gamma * gae_lambda * later
            value_after = value
            advantages.insert(0, later)
        found.append(advantages)
    return found


def token_losses(advantages, low, high):
    losses = []
    for policy, reference, of_token in zip(POLICY, REFERENCE, advantages, strict=True):
        ratios = [math.exp(p) / math.exp(r) for p, r in zip(policy, reference, strict=True)]
        losses.append(
            [-min(q * a, min(max(q, low), high) * a) for q, a in zip(ratios, of_token, strict=True)]
        )
    return losses


def means(tokens):
    return torch.tensor([sum(part) / len(part) for part in tokens], dtype=torch.float64)


@pytest.mark.parametrize(
    ("clip", "bounds"), [((0.5, 2.0), (0.5, 2.0)), (0.2, (0.8, 1.2)), ((0.9, 3.0), (0.9, 3.0))]
)
@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_plain_ppo_is_the_objective_of_the_report(clip, bounds, kl):
    output = PPO(clip=clip, kl_coefficient=kl)(BATCH)

    expected = means(token_losses(labelled_advantages(kl), *bounds))
    torch.testing.assert_close(output.losses, expected, **ROUNDING)


def test_with_a_critic_it_is_the_objective_plus_the_critics_error():
    output = PPO(advantage="gae")(BATCH)

    advantages = critic_advantages(0.1, 0.99, 0.95)
    policy_losses = token_losses(advantages, 0.5, 2.0)
    # value - return = -advantage, before any whitening
    expected = means(
        [
            [loss + 0.01 * a**2 for loss, a in zip(*part, strict=True)]
            for part in zip(policy_losses, advantages, strict=True)
        ]
    )
    torch.testing.assert_close(output.losses, expected, **ROUNDING)


def test_whitening_uses_the_mean_and_variance_over_the_global_batch():
    ppo = PPO(advantage="gae", whiten=True, critic_coefficient=0.5)
    output = ppo(replace(BATCH, statistics=ppo.statistics(BATCH)))

    advantages = critic_advantages(0.1, 0.99, 0.95)
    every = [a for part in advantages for a in part]
    mean = sum(every) / len(every)
    deviation = math.sqrt(sum((a - mean) ** 2 for a in every) / len(every) + 1e-8)
    white = [[(a - mean) / deviation for a in part] for part in advantages]
    policy_losses = token_losses(white, 0.5, 2.0)
    expected = means(
        [
            [loss + 0.5 * a**2 for loss, a in zip(*part, strict=True)]
            for part in zip(policy_losses, advantages, strict=True)
        ]
    )
    torch.testing.assert_close(output.losses, expected, **ROUNDING)


def test_statistics_are_the_sums_that_whitening_needs():
    sums = PPO(whiten=True, kl_coefficient=0.0).statistics(BATCH)

    assert {name: value.item() for name, value in sums.items()} == {
        "total": 4.0,
        "squares": 6.0,
        "count": 6.0,
    }


def test_per_token_a_completion_counts_by_its_length_and_per_sequence_once():
    per_token, per_sequence = PPO()(BATCH), PPO(per="sequence")(BATCH)

    assert per_token.weights.tolist() == [3.0, 1.0, 2.0]
    assert per_sequence.weights is None
    sums = per_token.losses * per_token.weights
    torch.testing.assert_close(sums, per_sequence.losses, **ROUNDING)


def test_the_policy_learns_nothing_from_the_critics_error_and_the_critic_only_from_it():
    policy = BATCH.policy_token_logps.clone().requires_grad_()
    value = BATCH.heads["value"].clone().requires_grad_()
    batch = replace(BATCH, policy_token_logps=policy, heads={"value": value})

    gradients = {}
    for coefficient in (0.01, 1.0):
        output = PPO(advantage="gae", critic_coefficient=coefficient, per="sequence")(batch)
        gradients[coefficient] = torch.autograd.grad(output.losses.sum(), [policy, value])

    advantages = [a for part in critic_advantages(0.1, 0.99, 0.95) for a in part]
    expected = -2 * torch.tensor(advantages, dtype=torch.float64)
    torch.testing.assert_close(gradients[1.0][1], expected, **ROUNDING)
    torch.testing.assert_close(gradients[0.01][1], 0.01 * expected, **ROUNDING)
    torch.testing.assert_close(gradients[0.01][0], gradients[1.0][0])


def test_the_critic_is_a_detached_perceptron_of_three_layers_and_only_there_with_gae():
    (head,) = PPO(advantage="gae").heads()

    assert (head.name, head.at, head.hidden_layers, head.detached) == ("value", "tokens", 2, True)
    assert PPO().heads() == ()


def test_statistics_are_needed_only_to_whiten():
    assert PPO().needed() == ("policy_logps", "reference_logps")
    assert PPO(whiten=True).needed() == ("policy_logps", "reference_logps", "statistics")


def test_the_share_of_clipped_tokens_and_the_critics_error_are_counted():
    metrics = PPO(advantage="gae", kl_coefficient=0.0, clip=(0.5, 1.5))(BATCH).metrics

    clipped, tokens = metrics["policy/clipped"]
    every = [a for part in critic_advantages(0.0, 0.99, 0.95) for a in part]
    ratios = (BATCH.policy_token_logps - BATCH.reference_token_logps).exp().tolist()
    expected = sum(
        (a > 0 and q > 1.5) or (a < 0 and q < 0.5) for a, q in zip(every, ratios, strict=True)
    )
    assert (clipped.item(), tokens.item()) == (expected, 6.0)
    assert expected > 0
    errors, count = metrics["critic/squared_error"]
    assert (errors.item(), count.item()) == (pytest.approx(sum(a**2 for a in every)), 6.0)
    assert set(PPO()(BATCH).metrics) == {"policy/clipped"}


@pytest.mark.parametrize(("desirable", "clipped"), [(True, [0, 1]), (False, [1, 0])])
def test_a_token_is_clipped_only_in_the_direction_of_its_advantage(desirable, clipped):
    for logratio, expected in zip([-2.0, 2.0], clipped, strict=True):
        batch = loss_batch([[logratio - 5.0]], reference=[[-5.0]], desirable=[desirable])

        assert PPO()(batch).metrics["policy/clipped"][0].item() == expected


def test_a_missing_reference_is_named():
    with pytest.raises(ValueError, match="PPO needs the reference's log-probabilities, and the"):
        PPO()(loss_batch(POLICY))
