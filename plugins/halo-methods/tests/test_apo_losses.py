import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.apo import apo_down_loss, apo_zero_loss
from halo_methods.components import APODown, APOZero
from halo_methods.kto import kto_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LOGPS = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(4)
CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED = LOGPS


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def apo_zero(chosen, rejected, ref_chosen, ref_rejected, beta):
    r_w = beta * math.log(math.exp(chosen) / math.exp(ref_chosen))
    r_l = beta * math.log(math.exp(rejected) / math.exp(ref_rejected))
    return -sigmoid(r_w) + sigmoid(r_l)


def apo_down(chosen, rejected, ref_chosen, ref_rejected, beta):
    r_w = beta * math.log(math.exp(chosen) / math.exp(ref_chosen))
    r_l = beta * math.log(math.exp(rejected) / math.exp(ref_rejected))
    return sigmoid(r_w) - sigmoid(r_w - r_l)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
@pytest.mark.parametrize(
    ("function", "published"), [(apo_zero_loss, apo_zero), (apo_down_loss, apo_down)]
)
def test_loss_is_the_published_one_but_for_a_one(function, published, beta):
    expected = [1 + published(*row, beta) for row in LOGPS.T.tolist()]

    losses = function(*LOGPS, beta=beta)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("function", [apo_zero_loss, apo_down_loss])
def test_loss_is_one_when_policy_equals_reference(function):
    losses = function(CHOSEN, REJECTED, CHOSEN, REJECTED, beta=0.1)

    assert losses.tolist() == [1.0] * 6


def test_apo_zero_is_kto_on_both_completions_with_a_point_of_zero():
    point, beta = torch.tensor(0.0, dtype=torch.float64), 0.7
    halves = [
        kto_loss(policy, reference, torch.full((6,), good), point, beta=beta)
        for policy, reference, good in (
            (CHOSEN, REF_CHOSEN, True),
            (REJECTED, REF_REJECTED, False),
        )
    ]

    torch.testing.assert_close(apo_zero_loss(*LOGPS, beta=beta), sum(halves), **EXACT)


def test_swapping_an_apo_zero_pair_gives_what_is_left_of_two():
    swapped = apo_zero_loss(REJECTED, CHOSEN, REF_REJECTED, REF_CHOSEN, beta=0.7)

    total = swapped + apo_zero_loss(*LOGPS, beta=0.7)
    torch.testing.assert_close(total, torch.full_like(total, 2.0), **EXACT)


def test_at_the_reference_apo_down_only_lowers_the_rejected_completion():
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()

    apo_down_loss(chosen, rejected, CHOSEN, REJECTED, beta=1.0).sum().backward()

    # both sigmoids have the slope 1/4 there, which cancel for the chosen completion
    torch.testing.assert_close(chosen.grad, torch.zeros_like(CHOSEN), **EXACT)
    torch.testing.assert_close(rejected.grad, torch.full_like(REJECTED, 0.25), **EXACT)


def test_apo_down_lowers_the_chosen_completion_too_once_it_leads():
    chosen = torch.tensor([1.0], requires_grad=True)

    loss = apo_down_loss(chosen, *(torch.tensor([v]) for v in (-5.0, 0.0, 0.0)), beta=1.0)
    loss.sum().backward()

    assert chosen.grad.item() > 0


@pytest.mark.parametrize(
    ("component", "function"), [(APOZero, apo_zero_loss), (APODown, apo_down_loss)]
)
def test_the_components_are_their_functions(component, function):
    words = [[-1.0, -2.0]], [[-3.0]], [[-1.5, -2.0]], [[-2.0]]
    output = component(beta=0.7)(
        paired_batch(words[0], words[1], ref_chosen=words[2], ref_rejected=words[3])
    )

    logps = torch.tensor([[-3.0], [-3.0], [-3.5], [-2.0]], dtype=torch.float64)
    torch.testing.assert_close(output.losses, function(*logps, beta=0.7), **EXACT)
    assert output.rewards.tolist() == pytest.approx([0.35, -0.7])
    assert output.weights is None
