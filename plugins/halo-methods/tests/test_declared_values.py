"""The value function that a loss declares is the one that it computes."""

import json

import pytest
import torch

from halo_core.loss import Loss
from halo_core.testing import loss_batch, paired_batch
from halo_methods import components
from halo_methods.components import (
    CDPO,
    DPO,
    IPO,
    KTO,
    PPO,
    APOZero,
    Humanline,
    KTOLogSigmoid,
    Prospect,
    SimPO,
    SLiC,
)

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}
GAINS = [-30.0, -2.0, -0.5, -1e-4, 0.0, 2e-4, 0.7, 3.0, 25.0]
PAIRED = [
    DPO(),
    DPO(beta=0.5, label_smoothing=0.2),
    CDPO(),
    IPO(),
    IPO(tau=0.4),
    SLiC(regulariser_weight=0.0),
    SLiC(beta=2.0, regulariser_weight=0.0),
    SimPO(),
    SimPO(beta=0.5, gamma=0.0),
]
SHORTFALL = [
    KTO(),
    KTO(beta=2.0),
    Prospect(),
    Prospect(value_function="log-logistic"),
    Prospect(value_function="hinge", margin=0.5),
    Prospect(value_function="kahneman-tversky"),
    Prospect(value_function="kahneman-tversky", alpha=0.5, loss_aversion=1.5),
]


def values(loss):
    return torch.tensor([loss.value(gain) for gain in GAINS], dtype=torch.float64)


def nats_per_reward(loss):
    """Number of nats of log-ratio, or of log-probability, in a reward of 1."""
    if isinstance(loss, SLiC):
        return 1.0
    return 1 / (loss.tau if isinstance(loss, IPO) else loss.beta)


def on_pairs(loss):
    """Losses where the chosen completion's reward is ahead of the rejected one's by each gain."""
    tokens = [[gain * nats_per_reward(loss) - 40.0] for gain in GAINS]
    level = [[-40.0]] * len(GAINS)
    batch = paired_batch(tokens, level, ref_chosen=level, ref_rejected=level)
    output = loss(batch)
    ahead = output.rewards[batch.desirable] - output.rewards[~batch.desirable]
    torch.testing.assert_close(ahead, torch.tensor(GAINS, dtype=torch.float64), **ROUNDING)
    return output.losses


def on_completions(loss, desirable):
    """Losses of completions whose reward is above the reference point by each gain."""
    sign = 1 if desirable else -1
    tokens = [[sign * gain * nats_per_reward(loss) + 0.25] for gain in GAINS]
    batch = loss_batch(
        tokens,
        reference=[[0.0]] * len(GAINS),
        desirable=[desirable] * len(GAINS),
        reference_point=0.25,
    )
    return loss(batch).losses


@pytest.mark.parametrize("loss", PAIRED, ids=repr)
def test_the_loss_of_a_pair_is_the_negative_value_of_its_gain(loss):
    torch.testing.assert_close(on_pairs(loss), -values(loss), **ROUNDING)


@pytest.mark.parametrize("loss", SHORTFALL, ids=repr)
@pytest.mark.parametrize("desirable", [True, False])
def test_the_loss_of_a_completion_is_what_its_value_leaves_of_one(loss, desirable):
    torch.testing.assert_close(on_completions(loss, desirable), 1 - values(loss), **ROUNDING)


@pytest.mark.parametrize("desirable", [True, False])
def test_kto_with_log_sigmoid_is_the_negative_value(desirable):
    loss = KTOLogSigmoid()

    torch.testing.assert_close(on_completions(loss, desirable), -values(loss), **ROUNDING)


def test_apo_zero_is_what_the_values_of_both_completions_leave_of_two():
    loss, level = APOZero(), [[-40.0]] * len(GAINS)
    tokens = [[gain / loss.beta - 40.0] for gain in GAINS]

    moved_chosen = loss(paired_batch(tokens, level, ref_chosen=level, ref_rejected=level)).losses
    mirrored = [[-gain / loss.beta - 40.0] for gain in GAINS]
    moved_rejected = loss(
        paired_batch(level, mirrored, ref_chosen=level, ref_rejected=level)
    ).losses

    torch.testing.assert_close(moved_chosen, 2 - values(loss) - loss.value(0.0), **ROUNDING)
    torch.testing.assert_close(moved_rejected, 2 - values(loss) - loss.value(0.0), **ROUNDING)


def test_slic_adds_only_its_regulariser_to_the_negative_value():
    pairs = paired_batch([[-2.0], [-5.0]], [[-2.5], [-1.0]])

    with_it, without = SLiC()(pairs).losses, SLiC(regulariser_weight=0.0)(pairs).losses

    assert (with_it - without).tolist() == pytest.approx([0.2, 0.5])


def test_losses_without_an_honest_closed_form_in_the_gain_declare_none():
    silent = {
        name
        for name in components.__all__
        if issubclass(getattr(components, name), Loss)
        and name not in ("Humanline", "WeightedSum")  # they have the value of their losses, or none
        and getattr(components, name)().value(0.0) is None
    }

    of_groups = {"GRPO", "InfoNCA", "NCA"}
    assert silent == {"SFT", "CSFT", "PPO", "ORPO", "APODown", "BradleyTerry"} | of_groups


def test_the_value_of_humanline_is_that_of_its_loss():
    assert Humanline(loss=KTO()).value(0.3) == KTO().value(0.3)
    assert Humanline(loss=PPO()).value(0.3) is None


@pytest.mark.parametrize("loss", [*PAIRED, *SHORTFALL, KTOLogSigmoid(), APOZero()], ids=repr)
def test_values_are_finite_numbers_far_out(loss):
    far = [loss.value(gain) for gain in (-1e4, 1e4)]

    assert far == json.loads(json.dumps(far, allow_nan=False))
