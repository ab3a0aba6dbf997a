"""Losses whose reference point is the reward of the rejected completion, with a gradient."""

from dataclasses import replace

import pytest
import torch

from halo_core.testing import loss_batch, paired_batch
from halo_methods.components import DPO, KTO, Dispreferred, KTOLogSigmoid, Prospect
from halo_methods.shared.logratios import relative_to_point

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CHOSEN, REJECTED = [[-1.0, -2.0], [-0.5], [-3.0, -1.0]], [[-3.0], [-1.0, -1.5], [-0.25]]
REF_CHOSEN, REF_REJECTED = [[-1.5, -2.5], [-1.0], [-2.0, -0.5]], [[-2.0], [-1.5, -1.0], [-4.0]]
BETA = 0.7


def within_pairs(rejected):
    """Pairs as a loss on binary feedback sees them: the chosen completions, with a point each."""
    batch = loss_batch(CHOSEN, reference=REF_CHOSEN)
    other = loss_batch(REJECTED, reference=REF_REJECTED)
    other = replace(other, policy_token_logps=rejected)
    point = Dispreferred().within_pair(batch.logratios, other.logratios)
    return replace(
        batch,
        policy_token_logps=batch.policy_token_logps.requires_grad_(),
        reference_point=point,
    )


def gradients(loss):
    rejected = loss_batch(REJECTED).policy_token_logps.requires_grad_()
    batch = within_pairs(rejected)
    losses = loss(batch).losses
    return losses, torch.autograd.grad(losses.sum(), [batch.policy_token_logps, rejected])


def logratio_gradients(losses_of):
    """Gradients of a function of the two log-ratios, for each token of each side."""
    pairs = paired_batch(CHOSEN, REJECTED, ref_chosen=REF_CHOSEN, ref_rejected=REF_REJECTED)
    good, bad = (
        pairs.logratios[mask].clone().requires_grad_()
        for mask in (pairs.desirable, ~pairs.desirable)
    )
    losses = losses_of(good, bad)
    by_pair = torch.autograd.grad(losses.sum(), [good, bad])
    lengths = [[len(tokens) for tokens in side] for side in (CHOSEN, REJECTED)]
    return losses.detach(), [
        gradient.repeat_interleave(torch.tensor(count))
        for gradient, count in zip(by_pair, lengths, strict=True)
    ]


def assert_same(loss, losses_of):
    losses, gradient = gradients(loss)
    expected, expected_gradient = logratio_gradients(losses_of)
    torch.testing.assert_close(losses.detach(), expected, **EXACT)
    for came, wanted in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(came, wanted, **EXACT)


def test_kto_with_the_rejected_point_is_the_sigmoid_of_the_difference_with_its_gradient():
    assert_same(KTO(beta=BETA), lambda good, bad: 1 - torch.sigmoid(BETA * (good - bad)))


def test_kto_with_log_sigmoid_and_the_rejected_point_is_dpo_with_its_gradient():
    losses, gradient = gradients(KTOLogSigmoid(beta=BETA))

    pairs = paired_batch(CHOSEN, REJECTED, ref_chosen=REF_CHOSEN, ref_rejected=REF_REJECTED)
    tokens = pairs.policy_token_logps.requires_grad_()
    expected = DPO(beta=BETA)(pairs).losses
    (by_token,) = torch.autograd.grad(expected.sum(), tokens)
    of_chosen = pairs.desirable[pairs.sequence_index]
    torch.testing.assert_close(losses, expected, **EXACT)
    torch.testing.assert_close(gradient[0], by_token[of_chosen], **EXACT)
    torch.testing.assert_close(gradient[1], by_token[~of_chosen], **EXACT)


def test_prospect_with_the_log_logistic_function_and_the_rejected_point_is_dpo_plus_one():
    losses, gradient = gradients(Prospect(beta=BETA, value_function="log-logistic"))

    expected, expected_gradient = gradients(KTOLogSigmoid(beta=BETA))
    torch.testing.assert_close(losses, expected + 1, **EXACT)
    for came, wanted in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(came, wanted, **EXACT)


def test_prospect_with_the_logistic_function_is_kto_with_any_point():
    losses, gradient = gradients(Prospect(beta=BETA))

    expected, expected_gradient = gradients(KTO(beta=BETA))
    assert torch.equal(losses, expected)
    assert all(map(torch.equal, gradient, expected_gradient))


@pytest.mark.parametrize("loss", [KTO(), KTOLogSigmoid(), Prospect()])
def test_rewards_do_not_depend_on_the_point(loss):
    batch = within_pairs(loss_batch(REJECTED).policy_token_logps)

    expected = 0.1 * (batch.policy_logps - batch.reference_logps)
    torch.testing.assert_close(loss(batch).rewards, expected.detach(), **EXACT)


def test_one_point_for_the_batch_stays_one():
    batch = loss_batch(CHOSEN, reference=REF_CHOSEN, reference_point=0.25)

    policy, reference, desirable, point = relative_to_point(batch, "kto")

    assert torch.equal(reference, batch.reference_logps)
    assert (policy.shape, desirable.shape, point.item()) == ((3,), (3,), 0.25)


@pytest.mark.parametrize(
    ("loss", "name"),
    [(KTO(), "KTO"), (KTOLogSigmoid(), "KTO with log-sigmoid"), (Prospect(), "prospect")],
)
def test_a_missing_point_is_named(loss, name):
    expected = f"^{name} needs a reference point, and the batch has none$"
    with pytest.raises(ValueError, match=expected):
        loss(loss_batch(CHOSEN, reference=REF_CHOSEN))
