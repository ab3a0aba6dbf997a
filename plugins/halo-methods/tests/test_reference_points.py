"""The reference points that need no functions of their own."""

import random

import torch

from halo_core.reference_point import Candidate, Observed, Pair, PairingPlan
from halo_methods.components import Dispreferred, MatchedKL, Zero


def test_zero_scores_nothing_and_is_zero():
    plan = PairingPlan([Candidate("p", "a"), Candidate("q", "b")], [])

    assert list(Zero().pairs(plan, random.Random(0))) == []
    assert Zero().estimate(Observed([], [], [], batch_size=2), {}).value == 0.0


def test_matched_kl_is_the_clamped_mean_over_the_batchs_own_completions():
    pairs = [Pair(0, 0), Pair(1, 1)]

    assert MatchedKL.observes == "own"
    assert MatchedKL().estimate(Observed([4.0, -1.0], [1, 1], pairs, 2), {}).value == 1.5
    below = MatchedKL().estimate(Observed([-4.0, 1.0], [1, 1], pairs, 2), {})
    assert (below.value, below.metrics) == (0.0, {"policy/kl": (-3.0, 2.0)})


def test_dispreferred_is_the_rejected_log_ratio_with_its_gradient():
    chosen, rejected = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0], requires_grad=True)

    points = Dispreferred().within_pair(chosen, rejected)

    assert points.tolist() == [3.0, -4.0]
    assert torch.autograd.grad(points.sum(), rejected)[0].tolist() == [1.0, 1.0]


def test_dispreferred_observes_each_pair():
    assert Dispreferred.observes == "pair"
