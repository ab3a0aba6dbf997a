"""InfoNCA and NCA against their equations, closed forms, pairs and mutants."""

import math
import random
from collections.abc import Callable

import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.components import DPO, NCA, InfoNCA
from halo_methods.nca import info_nca_loss, nca_loss

GROUPS = [0, 0, 0, 1, 1, 2, 2, 2, 2]
RNG = random.Random(4)
REWARDS = [RNG.gauss(0, 1.5) for _ in GROUPS]
SCORES = [RNG.uniform(0, 10) for _ in GROUPS]
LOSSES = [info_nca_loss, nca_loss]


def members(values: list[float]) -> list[list[float]]:
    return [[v for v, g in zip(values, GROUPS, strict=True) if g == k] for k in range(3)]


def info_nca_equation(rewards: list[float], scores: list[float], alpha: float) -> float:
    """The cross-entropy of two softmaxes, in plain Python."""
    weights = [math.exp(s / alpha) for s in scores]
    policy = [math.exp(r) for r in rewards]
    return -sum(
        w / sum(weights) * math.log(p / sum(policy)) for w, p in zip(weights, policy, strict=True)
    )


def nca_equation(rewards: list[float], scores: list[float], alpha: float) -> float:
    """Attraction by the scores' softmax and repulsion by 1/K, in plain Python."""
    weights = [math.exp(s / alpha) for s in scores]
    return -sum(
        w / sum(weights) * math.log(1 / (1 + math.exp(-r)))
        + 1 / len(rewards) * math.log(1 / (1 + math.exp(r)))
        for w, r in zip(weights, rewards, strict=True)
    )


def computed(loss: Callable, rewards=REWARDS, scores=SCORES, groups=GROUPS, alpha=2.0):
    given = [torch.tensor(values, dtype=torch.float64) for values in (rewards, scores)]
    return loss(*given, torch.tensor(groups), max(groups) + 1, alpha=alpha)


@pytest.mark.parametrize("alpha", [0.5, 2.0, 30.0])
@pytest.mark.parametrize(
    ("loss", "equation"), [(info_nca_loss, info_nca_equation), (nca_loss, nca_equation)]
)
def test_loss_is_the_papers_equation(loss, equation, alpha):
    expected = [
        equation(*row, alpha) for row in zip(members(REWARDS), members(SCORES), strict=True)
    ]
    assert computed(loss, alpha=alpha).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_first_step_is_known():
    zeros = [0.0] * len(GROUPS)
    assert computed(info_nca_loss, zeros).tolist() == pytest.approx(
        [math.log(n) for n in (3, 2, 4)]
    )
    assert computed(nca_loss, zeros).tolist() == pytest.approx([2 * math.log(2)] * 3)


def test_info_nca_of_a_pair_and_a_small_alpha_is_dpo():
    policy, reference = [[-1.0, -2.0], [-0.5]], [[-2.0, -2.5], [-0.25]]
    pair = loss_batch(policy, reference=reference, desirable=[True, False], examples=[0, 0])
    group = loss_batch(policy, reference=reference, examples=[0, 0], scores=[1.0, 0.0])
    found = InfoNCA(beta=0.7, alpha=1e-3)(group).losses
    torch.testing.assert_close(found, DPO(beta=0.7)(pair).losses)


def test_nca_of_a_pair_and_a_small_alpha_is_pairwise_nca():
    chosen, rejected = 0.8, -0.3
    found = computed(nca_loss, [chosen, rejected], [1.0, 0.0], [0, 0], alpha=1e-3)

    def log_sigmoid(value):
        return -math.log1p(math.exp(-value))

    expected = -log_sigmoid(chosen) - (log_sigmoid(-chosen) + log_sigmoid(-rejected)) / 2
    assert found.tolist() == pytest.approx([expected])


def test_info_nca_is_lowest_at_rewards_of_score_over_alpha_and_ignores_a_shift():
    best = [score / 2.0 for score in SCORES]
    lowest = computed(info_nca_loss, best)
    torch.testing.assert_close(computed(info_nca_loss, [r + 5 for r in best]), lowest)
    for k in range(len(best)):
        for step in (-0.1, 0.1):
            moved = [*best[:k], best[k] + step, *best[k + 1 :]]
            assert computed(info_nca_loss, moved)[GROUPS[k]] > lowest[GROUPS[k]]


def test_nca_is_lowest_where_it_says_and_each_completion_stands_alone():
    softmax = torch.cat(
        [
            torch.tensor(s, dtype=torch.float64).div(2).softmax(0).mul(len(s))
            for s in members(SCORES)
        ]
    )
    rewards = softmax.log().requires_grad_()
    given = (torch.tensor(SCORES, dtype=torch.float64), torch.tensor(GROUPS), 3)
    nca_loss(rewards, *given, alpha=2.0).sum().backward()
    torch.testing.assert_close(rewards.grad, torch.zeros_like(rewards), atol=1e-12, rtol=0)
    gradients = []
    for moved in (0.0, 3.0):
        rewards = torch.tensor([REWARDS[0] + moved, *REWARDS[1:]], requires_grad=True)
        nca_loss(rewards, *given, alpha=2.0).sum().backward()
        gradients.append(rewards.grad)
    assert torch.equal(gradients[0][1:], gradients[1][1:])
    assert gradients[0][0] != gradients[1][0]


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_count_by_their_differences_and_alpha_by_its_ratio_to_them(loss):
    expected = computed(loss)
    torch.testing.assert_close(computed(loss, scores=[s + 100 for s in SCORES]), expected)
    torch.testing.assert_close(computed(loss, scores=[s * 3 for s in SCORES], alpha=6.0), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_place_of_groups_and_completions_does_not_matter(loss):
    order = list(range(len(GROUPS)))
    random.Random(1).shuffle(order)  # completions of a group need not be adjacent
    moved = computed(loss, *([values[i] for i in order] for values in (REWARDS, SCORES, GROUPS)))
    torch.testing.assert_close(moved, computed(loss))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_rewards_and_scores_stay_finite(loss, size):
    rewards = torch.tensor([size, 0.0, -size], requires_grad=True)
    scores, groups = torch.tensor([size, -size, size]), torch.zeros(3, dtype=torch.long)
    losses = loss(rewards, scores, groups, 1, alpha=1e-3)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert rewards.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_derivative(loss):
    rewards = torch.tensor(REWARDS, dtype=torch.float64, requires_grad=True)
    given = (torch.tensor(SCORES, dtype=torch.float64), torch.tensor(GROUPS), 3)
    assert torch.autograd.gradcheck(lambda r: loss(r, *given, alpha=2.0), (rewards,))


@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_shapes_are_refused(loss):
    with pytest.raises(ValueError, match=r"rewards \(2,\), scores \(3,\) and groups \(2,\) must"):
        loss(torch.zeros(2), torch.zeros(3), torch.zeros(2, dtype=torch.long), 1, alpha=1.0)


def _softmax_over_the_batch(scores, groups, count, alpha):
    return (scores / alpha).softmax(0)


MUTANTS = {
    "the targets ignore the groups": ("_targets", _softmax_over_the_batch),
    "alpha multiplies": ("_targets", lambda s, g, n, a: _true_targets(s, g, n, 1 / a)),
    "low scores are good": ("_targets", lambda s, g, n, a: _true_targets(-s, g, n, a)),
    "all alike": ("_targets", lambda s, g, n, a: _true_targets(0 * s, g, n, a)),
    "sums over the batch": ("group_sums", lambda v, g, n: v.sum().expand(n)),
}


def _true_targets(scores, groups, count, alpha):
    from halo_methods.shared.groups import group_log_softmax

    return group_log_softmax(scores / alpha, groups, count).exp()


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.parametrize(
    ("loss", "equation"), [(info_nca_loss, info_nca_equation), (nca_loss, nca_equation)]
)
def test_mutants_are_found(loss, equation, name, monkeypatch):
    function, mutant = MUTANTS[name]
    monkeypatch.setattr(f"halo_methods.nca.{function}", mutant)
    with pytest.raises(AssertionError):
        test_loss_is_the_papers_equation(loss, equation, 2.0)


def test_components_scale_log_ratios_to_rewards():
    policy, reference = [[-1.0, -2.0], [-0.5], [-4.0]], [[-2.0, -2.5], [-0.25], [-3.0]]
    batch = loss_batch(policy, reference=reference, examples=[0] * 3, scores=[3.0, 1.0, 2.0])
    for component, equation in ((InfoNCA, info_nca_equation), (NCA, nca_equation)):
        output = component(beta=0.2, alpha=0.9)(batch)
        rewards = [0.2 * 1.5, 0.2 * -0.25, 0.2 * -1.0]
        assert output.rewards.tolist() == pytest.approx(rewards)
        expected = equation(rewards, [3.0, 1.0, 2.0], 0.9)
        assert output.losses.tolist() == pytest.approx([expected])
        assert output.weights is None
