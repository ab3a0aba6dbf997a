import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.components import IPO
from halo_methods.ipo import ipo_loss

CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED = torch.randn(
    4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(5)
WORDS = {
    "chosen": [[-1.0, -2.0], [-0.5]],
    "rejected": [[-3.0], [-1.0, -1.0, -2.5]],
    "ref_chosen": [[-1.5, -2.0], [-1.0]],
    "ref_rejected": [[-2.0], [-1.0, -1.5, -2.0]],
}


def equation_17(chosen, rejected, ref_chosen, ref_rejected, tau):
    """Azar et al. eq. 17 in plain Python, from the probability ratio of their h."""
    h = math.log(
        (math.exp(chosen) * math.exp(ref_rejected)) / (math.exp(rejected) * math.exp(ref_chosen))
    )
    return (h - tau**-1 / 2) ** 2


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_loss_is_equation_17(tau):
    rows = torch.stack([CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED], dim=1).tolist()
    expected = [equation_17(*row, tau) for row in rows]

    losses = ipo_loss(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, tau=tau)

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_step_is_finite_and_known(dtype):
    reference, rejected = CHOSEN.to(dtype), REJECTED.to(dtype)
    logps = reference.clone().requires_grad_()

    losses = ipo_loss(logps, rejected, reference, rejected, tau=0.1)
    losses.sum().backward()

    torch.testing.assert_close(losses, torch.full_like(losses, 25.0))
    torch.testing.assert_close(logps.grad, torch.full_like(losses, -10.0))


def test_loss_is_zero_at_the_margin_and_nowhere_else():
    zeros = torch.zeros(3, dtype=torch.float64)
    margins = torch.tensor([5.0, 4.0, 6.0], dtype=torch.float64)

    assert ipo_loss(margins, zeros, zeros, zeros, tau=0.1).tolist() == [0.0, 1.0, 1.0]


def test_swapping_the_pair_mirrors_the_loss_at_the_margin():
    given = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)
    margins = (CHOSEN - REF_CHOSEN) - (REJECTED - REF_REJECTED)

    swapped = ipo_loss(REJECTED, CHOSEN, REF_REJECTED, REF_CHOSEN, tau=0.1)

    torch.testing.assert_close(swapped - ipo_loss(*given, tau=0.1), 4 * margins * 5.0)


def test_log_ratios_are_sums_or_means_over_tokens():
    per_sequence, per_token = (IPO(per=per)(paired_batch(**WORDS)) for per in ("sequence", "token"))

    # log-ratios: 0.5 over 2 tokens, -1 over 1; 0.5 over 1, 0 over 3
    assert per_sequence.losses.tolist() == pytest.approx([(1.5 - 5) ** 2, (0.5 - 5) ** 2])
    assert per_token.losses.tolist() == pytest.approx([(1.25 - 5) ** 2, (0.5 - 5) ** 2])


def test_rewards_are_tau_times_what_is_compared():
    per_token = IPO(per="token", tau=0.5)(paired_batch(**WORDS))

    assert per_token.rewards.tolist() == pytest.approx([0.125, -0.5, 0.25, 0.0])
    assert IPO()(paired_batch(**WORDS)).rewards.tolist() == pytest.approx([0.05, -0.1, 0.05, 0.0])
