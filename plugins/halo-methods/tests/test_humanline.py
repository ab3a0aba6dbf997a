"""Humanline: the log-ratio of each token is clamped before any other computation."""

import json
import math
import re

import pytest
import torch
from pydantic import ValidationError

from halo_core.guarded.loss_calls import with_changed_logratios
from halo_core.testing import check_loss_wrapper, loss_batch, paired_batch
from halo_methods.components import (
    DPO,
    IPO,
    KTO,
    ORPO,
    PPO,
    SFT,
    BradleyTerry,
    Humanline,
    SimPO,
    WeightedSum,
)

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
LOW, HIGH = -1.0, 1.5
POLICY = [[-1.0, -0.2], [-4.0, -0.5, -3.0], [-0.1]]
REFERENCE = [[-1.5, -2.5], [-1.0, -0.7, -0.5], [-3.1]]
DESIRABLE = [True, False, True]
POINT = 0.25


def clamped_sums():
    """The clamped log-ratio of each completion, in plain Python."""
    pairs = [zip(p, r, strict=True) for p, r in zip(POLICY, REFERENCE, strict=True)]
    return [sum(min(max(a - b, LOW), HIGH) for a, b in tokens) for tokens in pairs]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def binary(policy=POLICY):
    return loss_batch(policy, reference=REFERENCE, desirable=DESIRABLE, reference_point=POINT)


def seen(loss, batch):
    return loss(with_changed_logratios(loss, batch))


def test_kto_is_its_equation_on_clamped_tokens():
    loss = Humanline(loss=KTO(beta=0.7, desirable_weight=1.3))
    gains = [
        0.7 * (r - POINT) if good else 0.7 * (POINT - r)
        for r, good in zip(clamped_sums(), DESIRABLE, strict=True)
    ]
    expected = [
        (1.3 if good else 1.0) * (1 - sigmoid(gain))
        for gain, good in zip(gains, DESIRABLE, strict=True)
    ]
    output = seen(loss, binary())
    assert output.losses.tolist() == pytest.approx(expected, rel=1e-12)
    assert output.rewards.tolist() == pytest.approx([0.7 * r for r in clamped_sums()], rel=1e-12)


def test_dpo_is_its_equation_on_clamped_tokens():
    batch = paired_batch(
        [POLICY[0]], [POLICY[1]], ref_chosen=[REFERENCE[0]], ref_rejected=[REFERENCE[1]]
    )
    chosen, rejected, _ = clamped_sums()
    expected = -math.log(sigmoid(0.3 * (chosen - rejected)))
    assert seen(Humanline(loss=DPO(beta=0.3)), batch).losses.tolist() == pytest.approx([expected])


def test_the_closed_form_of_one_token_far_outside():
    loss = Humanline(loss=KTO(beta=1.0))
    batch = loss_batch([[0.0]], reference=[[-9.0]], reference_point=0.0)
    assert seen(loss, batch).losses.item() == pytest.approx(1 - sigmoid(1.5), rel=1e-12)
    batch = loss_batch([[-9.0]], reference=[[0.0]], reference_point=0.0)
    assert seen(loss, batch).losses.item() == pytest.approx(1 - sigmoid(-1.0), rel=1e-12)


def test_wide_bounds_leave_the_loss_as_it_is():
    wide = Humanline(loss=KTO(), log_epsilon_p=-1e3, log_epsilon_r=1e3)
    torch.testing.assert_close(seen(wide, binary()).losses, KTO()(binary()).losses, **ROUNDING)


def test_bounds_of_ppo_s_clip_do_what_ppo_s_clip_does_where_both_clip():
    clip = PPO(kl_coefficient=0.0, clip=[math.exp(LOW), math.exp(HIGH)])
    bare = PPO(kl_coefficient=0.0, clip=[0.0, 1e6])
    batch = loss_batch([[-0.1]], reference=[[-3.1]], desirable=[True])
    torch.testing.assert_close(seen(Humanline(loss=bare), batch).losses, clip(batch).losses)


@pytest.mark.parametrize("loss", [KTO(), PPO(), PPO(advantage="gae")], ids=repr)
def test_a_token_outside_of_the_bounds_passes_no_gradient(loss):
    batch = binary()
    if loss.heads():
        batch = loss_batch(
            POLICY,
            reference=REFERENCE,
            desirable=DESIRABLE,
            heads={"value": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]},
        )
    batch.policy_token_logps.requires_grad_()
    seen(Humanline(loss=loss), batch).losses.sum().backward()
    ratios = (batch.policy_token_logps - batch.reference_token_logps).tolist()
    outside = [not LOW <= ratio <= HIGH for ratio in ratios]
    assert outside == [False, True, True, False, True, True]
    gradient = batch.policy_token_logps.grad.tolist()
    assert [value == 0.0 for value in gradient] == outside


@pytest.mark.parametrize("loss", [KTO(), DPO(), IPO()], ids=repr)
def test_inside_of_the_bounds_the_gradient_is_the_derivative(loss):
    logps = torch.tensor([-1.0, -0.5, -2.0, -0.3], dtype=torch.float64, requires_grad=True)
    reference = logps.detach() + torch.tensor([0.9, -1.4, 0.1, -0.2], dtype=torch.float64)
    wrapper = Humanline(loss=loss)

    def losses(tokens):
        batch = paired_batch(
            [[0.0, 0.0]], [[0.0, 0.0]], ref_chosen=[[0.0, 0.0]], ref_rejected=[[0.0, 0.0]]
        )
        parts = {"policy_token_logps": tokens, "reference_token_logps": reference}
        parts["reference_point"] = torch.tensor(POINT, dtype=torch.float64)
        return seen(wrapper, type(batch)(**{**vars(batch), **parts})).losses

    assert torch.autograd.gradcheck(losses, (logps,))


def test_the_order_of_bounds_and_of_a_wrapped_change_is_from_the_outside_in():
    narrow = Humanline(loss=Humanline(loss=KTO(), log_epsilon_r=0.5), log_epsilon_p=-0.5)
    ratios = torch.tensor([-2.0, -0.2, 0.2, 2.0])
    assert narrow.change_logratios(ratios).tolist() == pytest.approx([-0.5, -0.2, 0.2, 0.5])


def test_it_wraps_every_loss_that_has_ratios():
    check_loss_wrapper(lambda loss: Humanline(loss=loss))
    check_loss_wrapper(lambda loss: Humanline(loss=loss, log_epsilon_p=-0.1, log_epsilon_r=0.1))


@pytest.mark.parametrize("loss", [SFT(), SimPO(), ORPO(), BradleyTerry()], ids=repr)
def test_a_loss_without_ratios_is_refused(loss):
    expected = f"{loss.spec_name} does not compare the policy with a reference, so there are no"
    with pytest.raises(ValidationError, match=re.escape(expected)) as caught:
        Humanline(loss=loss)
    assert caught.value.errors()[0]["loc"] == ("loss",)


def test_a_sum_is_refused_where_one_of_its_losses_has_no_ratios():
    mixed = WeightedSum(losses=[DPO(), SimPO()], weights=[1.0, 1.0])
    with pytest.raises(ValidationError, match="SimPO does not compare the policy with a reference"):
        Humanline(loss=mixed)
    Humanline(loss=WeightedSum(losses=[DPO(), IPO()], weights=[1.0, 1.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_epsilon_p": 0.0}, "log_epsilon_p\n  Input should be less than 0"),
        ({"log_epsilon_p": 1.0, "log_epsilon_r": 2.0}, "log_epsilon_p\n  Input should be less"),
        ({"log_epsilon_r": 0.0}, "log_epsilon_r\n  Input should be greater than 0"),
        ({"log_epsilon_p": -2.0, "log_epsilon_r": -1.0}, "log_epsilon_r\n  Input should be great"),
        ({"log_epsilon_P": -1.0}, "log_epsilon_P\n  Extra inputs are not permitted"),
    ],
)
def test_bounds_that_are_not_around_zero_are_refused(options, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        Humanline.build(json.dumps({"loss": "kto", **options}), {"kto": KTO()})
