import functools
import math

import pytest
import torch

from halo_methods.dpo import dpo_loss
from halo_methods.kto import kto_log_sigmoid_loss, kto_loss
from halo_methods.prospect import prospect_loss
from halo_methods.shared.values import (
    CHORD,
    hinge_shortfall,
    kahneman_tversky_shortfall,
    log_logistic_shortfall,
    logistic_shortfall,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
POLICY, REFERENCE = torch.randn(
    2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(4)
DESIRABLE = torch.tensor([True, False, False, True, True, False])
POINT = torch.tensor(1.7, dtype=torch.float64)
WEIGHTS = {"desirable_weight": 1.33, "undesirable_weight": 0.7}
kahneman_tversky = functools.partial(kahneman_tversky_shortfall, alpha=0.88, loss_aversion=2.25)
SHORTFALLS = {
    "logistic": (logistic_shortfall, lambda g: 1 / (1 + math.exp(-g))),
    "log-logistic": (log_logistic_shortfall, lambda g: math.log(1 / (1 + math.exp(-g)))),
    "hinge": (functools.partial(hinge_shortfall, margin=0.3), lambda g: min(0.0, g - 0.3)),
    "kahneman-tversky": (kahneman_tversky, lambda g: g**0.88 if g >= 0 else -2.25 * (-g) ** 0.88),
}
EVERY_FUNCTION = pytest.mark.parametrize(("shortfall", "v"), SHORTFALLS.values(), ids=SHORTFALLS)


def loss(shortfall, beta=0.5, given=(POLICY, REFERENCE, DESIRABLE, POINT)):
    return prospect_loss(*given, shortfall, beta=beta, **WEIGHTS)


@EVERY_FUNCTION
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_loss_is_the_weight_times_what_is_left_of_one(shortfall, v, beta):
    expected = []
    for policy, reference, desirable in zip(
        POLICY.tolist(), REFERENCE.tolist(), DESIRABLE.tolist(), strict=True
    ):
        g = beta * (math.log(math.exp(policy) / math.exp(reference)) - 1.7)  # report eq. 8
        expected.append(1.33 * (1 - v(g)) if desirable else 0.7 * (1 - v(-g)))  # eq. 7

    torch.testing.assert_close(
        loss(shortfall, beta), torch.tensor(expected, dtype=torch.float64), **EXACT
    )


@EVERY_FUNCTION
def test_a_value_grows_with_the_gain(shortfall, v):
    gains = torch.linspace(-5, 5, 1001, dtype=torch.float64)

    assert (shortfall(gains).diff() <= 0).all()
    assert shortfall(gains)[0] > shortfall(gains)[500]


def test_with_the_logistic_function_it_is_kto_to_the_last_bit():
    given = (POLICY, REFERENCE, DESIRABLE, POINT)
    policies = [POLICY.clone().requires_grad_() for _ in range(2)]

    losses = prospect_loss(policies[0], *given[1:], logistic_shortfall, beta=0.5, **WEIGHTS)
    expected = kto_loss(policies[1], *given[1:], beta=0.5, **WEIGHTS)
    losses.sum().backward()
    expected.sum().backward()

    assert torch.equal(losses, expected)
    assert torch.equal(policies[0].grad, policies[1].grad)


def test_with_the_log_logistic_function_it_is_kto_with_log_sigmoid_plus_the_weight():
    given = (POLICY, REFERENCE, DESIRABLE, POINT)

    difference = loss(log_logistic_shortfall) - kto_log_sigmoid_loss(*given, beta=0.5, **WEIGHTS)

    weights = torch.where(DESIRABLE, 1.33, 0.7)
    torch.testing.assert_close(difference, weights.double(), rtol=1e-6, atol=1e-6)


def test_with_the_rejected_log_ratio_as_the_point_the_log_logistic_one_is_dpo_plus_one():
    rejected, ref_rejected = POLICY.flip(0), REFERENCE.flip(0)

    losses = prospect_loss(
        POLICY,
        REFERENCE,
        torch.ones(6, dtype=torch.bool),
        rejected - ref_rejected,
        log_logistic_shortfall,
        beta=0.5,
    )

    expected = 1 + dpo_loss(POLICY, rejected, REFERENCE, ref_rejected, beta=0.5)
    torch.testing.assert_close(losses, expected, **EXACT)


@EVERY_FUNCTION
def test_gradients_are_the_derivatives(shortfall, v):
    def losses(policy):
        return prospect_loss(policy, REFERENCE, DESIRABLE, POINT, shortfall, beta=0.5, **WEIGHTS)

    assert torch.autograd.gradcheck(losses, (POLICY.clone().requires_grad_(),))


@EVERY_FUNCTION
@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize("logratio", [1e4, -1e4, 0.0, 1e-30, -1e-30])
def test_loss_and_gradient_are_finite_at_extremes_and_at_zero(shortfall, v, desirable, logratio):
    logratios = torch.tensor([logratio], requires_grad=True)
    given = (logratios, torch.zeros(1), torch.tensor([desirable]), torch.tensor(0.0))

    losses = prospect_loss(*given, shortfall, beta=1.0)
    losses.sum().backward()

    assert losses.isfinite().all()
    assert logratios.grad.isfinite().all()


def test_kahneman_and_tverskys_function_learns_at_zero():
    logratios = torch.zeros(2, requires_grad=True)
    given = (logratios, torch.zeros(2), torch.tensor([True, False]), torch.tensor(0.0))

    prospect_loss(*given, kahneman_tversky, beta=1.0).sum().backward()

    slope = CHORD ** (0.88 - 1)
    assert logratios.grad.tolist() == pytest.approx([-slope, slope])


def test_each_class_has_its_own_weight():
    plain = prospect_loss(POLICY, REFERENCE, DESIRABLE, POINT, kahneman_tversky, beta=0.5)

    weighted = loss(kahneman_tversky)

    assert torch.equal(weighted[DESIRABLE], 1.33 * plain[DESIRABLE])
    assert torch.equal(weighted[~DESIRABLE], 0.7 * plain[~DESIRABLE])


@EVERY_FUNCTION
def test_losses_of_the_two_classes_are_mirror_images(shortfall, v):
    zeros, sides = torch.zeros(6, dtype=torch.float64), torch.full((6,), True)

    mirrored = prospect_loss(-POLICY, zeros, ~sides, -POINT, shortfall, beta=0.5)

    expected = prospect_loss(POLICY, zeros, sides, POINT, shortfall, beta=0.5)
    torch.testing.assert_close(mirrored, expected, **EXACT)


@EVERY_FUNCTION
def test_order_of_completions_makes_no_difference(shortfall, v):
    order = [3, 0, 5, 1, 4, 2]

    moved = loss(shortfall, given=(POLICY[order], REFERENCE[order], DESIRABLE[order], POINT))

    torch.testing.assert_close(moved, loss(shortfall)[order], **EXACT)


def test_no_gradient_flows_through_the_reference_point():
    policy, point = POLICY.clone().requires_grad_(), POINT.clone().requires_grad_()

    loss(logistic_shortfall, given=(policy, REFERENCE, DESIRABLE, point)).sum().backward()

    assert point.grad is None


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (POLICY, REFERENCE[:5], DESIRABLE, POINT),
            r"prospect_loss: policy_logps \(6,\) and ref_logps \(5,\) must both",
        ),
        ((POLICY, REFERENCE, DESIRABLE[:1], POINT), r"\(6,\) and desirable \(1,\) must both"),
        ((POLICY, REFERENCE, DESIRABLE, POINT[None]), r"the shape \(1,\); expected \[\]"),
        ((POLICY, REFERENCE, DESIRABLE.long(), POINT), "is torch.int64; expected torch.bool"),
    ],
)
def test_wrong_shapes_are_refused(inputs, text):
    with pytest.raises(ValueError, match=text):
        prospect_loss(*inputs, logistic_shortfall, beta=0.1)
