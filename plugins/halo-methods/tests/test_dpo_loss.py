import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.dpo import CDPO, DPO, dpo_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
PUBLISHED_DIGITS = {"rtol": 0.0, "atol": 5e-7}
CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED = torch.randn(
    4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(5)
BATCH = paired_batch(
    [[-1.0, -2.0]],
    [[-4.0, -0.5, -0.5]],
    ref_chosen=[[-1.5, -2.5]],
    ref_rejected=[[-3.0, -0.5, -0.5]],
)


def loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    return dpo_loss(
        chosen, rejected, ref_chosen, ref_rejected, beta=beta, label_smoothing=label_smoothing
    )


def at_margin(margin, label_smoothing=0.0):
    """The loss where beta * (chosen - rejected log-ratio) is `margin`, at beta 1."""
    zeros = torch.zeros_like(margin)
    return loss(margin, zeros, zeros, zeros, beta=1.0, label_smoothing=label_smoothing)


def equation_4(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Report eq. 4 in plain Python, from the probability ratios as they are printed."""
    ratio_w = math.exp(chosen) / math.exp(ref_chosen)
    ratio_l = math.exp(rejected) / math.exp(ref_rejected)
    z = beta * math.log(ratio_w) - beta * math.log(ratio_l)
    return -math.log(1 / (1 + math.exp(-z)))


def recomputed(beta, label_smoothing):
    rows = torch.stack([CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED], dim=1).tolist()
    losses = [
        (1 - label_smoothing) * equation_4(w, l_, ref_w, ref_l, beta)
        + label_smoothing * equation_4(l_, w, ref_l, ref_w, beta)
        for w, l_, ref_w, ref_l in rows
    ]
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_is_log_two_when_policy_equals_reference(label_smoothing):
    losses = loss(CHOSEN, REJECTED, CHOSEN, REJECTED, label_smoothing=label_smoothing)

    torch.testing.assert_close(losses, torch.full_like(losses, math.log(2)), **EXACT)


def test_loss_has_the_published_values():
    losses = loss(
        torch.tensor([-0.5, -10.0, -1.0]),
        torch.tensor([-0.1, -30.0, -21.0]),
        torch.tensor([-0.5, -10.1, -0.1]),
        torch.tensor([-0.1, -20.1, -0.1]),
    )

    expected = torch.tensor([0.693147, 0.313262, 0.126928])
    torch.testing.assert_close(losses, expected, **PUBLISHED_DIGITS)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.4])
def test_loss_is_equation_4_smoothed(beta, label_smoothing):
    losses = loss(
        CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, beta=beta, label_smoothing=label_smoothing
    )

    torch.testing.assert_close(losses, recomputed(beta, label_smoothing), rtol=1e-9, atol=1e-9)


def test_label_smoothing_adds_its_share_of_the_margin():
    margin = torch.tensor([2.0, -3.0], dtype=torch.float64)

    added = at_margin(margin, label_smoothing=0.1) - at_margin(margin)

    torch.testing.assert_close(added, 0.1 * margin, **EXACT)


def test_smoothed_loss_is_least_where_the_preference_has_its_assumed_probability():
    margin = torch.tensor([math.log(0.8 / 0.2)], dtype=torch.float64, requires_grad=True)

    (gradient,) = torch.autograd.grad(at_margin(margin, label_smoothing=0.2).sum(), margin)

    assert gradient.item() == pytest.approx(0.0, abs=1e-12)


def test_loss_falls_as_the_chosen_completion_gains():
    chosen = CHOSEN.clone().requires_grad_()
    rejected = REJECTED.clone().requires_grad_()

    loss(chosen, rejected, REF_CHOSEN, REF_REJECTED).sum().backward()

    assert (chosen.grad < 0).all()
    torch.testing.assert_close(rejected.grad, -chosen.grad, **EXACT)


def test_swapping_the_pair_adds_the_margin():
    margin = torch.tensor([0.7, -4.0, 30.0], dtype=torch.float64)

    torch.testing.assert_close(at_margin(-margin) - at_margin(margin), margin, **EXACT)


def test_what_policy_and_reference_share_cancels():
    shared = torch.linspace(-50, 0, 6, dtype=torch.float64)

    moved = loss(CHOSEN + shared, REJECTED - shared, REF_CHOSEN + shared, REF_REJECTED - shared)

    torch.testing.assert_close(moved, loss(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradients_are_the_derivatives(label_smoothing):
    def losses(chosen, rejected):
        return loss(
            chosen, rejected, REF_CHOSEN, REF_REJECTED, beta=0.5, label_smoothing=label_smoothing
        )

    inputs = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    assert torch.autograd.gradcheck(losses, inputs)


@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_loss_and_gradient_are_finite_at_extreme_logratios(extreme):
    margin = torch.tensor([2 * extreme], requires_grad=True)

    losses = at_margin(margin, label_smoothing=0.1)
    losses.sum().backward()

    weight_of_wrong_side = 0.1 if extreme > 0 else 0.9
    assert losses.item() == pytest.approx(weight_of_wrong_side * 2e4, rel=1e-6)
    assert margin.grad.isfinite().all()


def test_order_of_pairs_makes_no_difference():
    order = [3, 0, 5, 1, 4, 2]
    inputs = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)

    moved = loss(*(values[order] for values in inputs))

    torch.testing.assert_close(moved, loss(*inputs)[order], **EXACT)


def test_one_loss_per_pair_comes_back():
    inputs = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)

    assert loss(*inputs).shape == (6,)
    assert loss(*(values[:1] for values in inputs)).shape == (1,)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("wrong", [torch.zeros(()), torch.zeros(1), torch.zeros(6, 1)])
def test_wrong_shapes_are_refused(position, wrong):
    inputs = [CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED]
    inputs[position] = wrong

    with pytest.raises(ValueError, match=r"all must have the shape \[P\], one value per pair"):
        loss(*inputs)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"policy_rejected_logps \(5,\), ref_chosen_logps \(6,\)"):
        loss(CHOSEN, REJECTED[:5], REF_CHOSEN, REF_REJECTED)


def test_dpo_is_its_pure_function_counted_once_per_pair():
    output = DPO(beta=0.7, label_smoothing=0.2)(BATCH)

    logps = torch.tensor([[-3.0], [-5.0], [-4.0], [-4.0]], dtype=torch.float64)
    expected = dpo_loss(*logps, beta=0.7, label_smoothing=0.2)
    torch.testing.assert_close(output.losses, expected, **EXACT)
    assert output.weights is None


def test_cdpo_is_dpo_with_its_smoothing():
    expected = DPO(beta=0.7, label_smoothing=0.1)(BATCH)

    output = CDPO(beta=0.7)(BATCH)

    assert torch.equal(output.losses, expected.losses)
    assert torch.equal(output.rewards, expected.rewards)
    assert output.losses.item() != DPO(beta=0.7)(BATCH).losses.item()


def test_rewards_of_dpo_are_beta_times_the_logratio():
    assert DPO(beta=2.0)(BATCH).rewards.tolist() == [2.0, -2.0]
