import math

import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.components import KTOLogSigmoid
from halo_methods.kto import kto_log_sigmoid_loss, kto_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
POLICY, REFERENCE = torch.randn(
    2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(4)
DESIRABLE = torch.tensor([True, False, False, True, True, False])
POINT = torch.tensor(1.7, dtype=torch.float64)
WEIGHTS = {"desirable_weight": 1.33, "undesirable_weight": 0.7}


def recomputed(policy, reference, desirable, point, beta):
    """Report eq. 7 in plain Python, with -log of eq. 8's value function."""
    g = beta * (math.log(math.exp(policy) / math.exp(reference)) - point)
    h = 1 / (1 + math.exp(-g)) if desirable else 1 / (1 + math.exp(g))
    return (1.33 if desirable else 0.7) * -math.log(h)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_loss_is_the_negative_log_of_the_value(beta):
    rows = zip(POLICY.tolist(), REFERENCE.tolist(), DESIRABLE.tolist(), strict=True)
    expected = torch.tensor([recomputed(*row, 1.7, beta) for row in rows], dtype=torch.float64)

    losses = kto_log_sigmoid_loss(POLICY, REFERENCE, DESIRABLE, POINT, beta=beta, **WEIGHTS)

    torch.testing.assert_close(losses, expected, **EXACT)


def test_loss_is_log_two_when_policy_equals_reference():
    losses = kto_log_sigmoid_loss(POLICY, POLICY, DESIRABLE, torch.tensor(0.0), beta=0.1)

    torch.testing.assert_close(losses, torch.full_like(losses, math.log(2)), **EXACT)


def test_it_is_the_negative_log_of_what_kto_keeps():
    given = (POLICY, REFERENCE, DESIRABLE, POINT)

    expected = -torch.log(1 - kto_loss(*given, beta=0.5))

    torch.testing.assert_close(kto_log_sigmoid_loss(*given, beta=0.5), expected)


def test_losses_of_the_two_classes_differ_by_the_gain():
    given = POLICY, REFERENCE
    gains = 0.5 * (POLICY - REFERENCE - POINT)

    good = kto_log_sigmoid_loss(*given, torch.full((6,), True), POINT, beta=0.5)
    bad = kto_log_sigmoid_loss(*given, torch.full((6,), False), POINT, beta=0.5)

    torch.testing.assert_close(bad - good, gains, **EXACT)


def test_a_completion_far_on_the_wrong_side_keeps_its_gradient():
    logratios = torch.tensor([-1e4, 1e4], requires_grad=True)
    given = (logratios, torch.zeros(2), torch.tensor([True, False]), torch.tensor(0.0))

    kto_log_sigmoid_loss(*given, beta=0.1).sum().backward()

    assert logratios.grad.tolist() == pytest.approx([-0.1, 0.1])


@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_loss_and_gradient_are_finite_at_extreme_logratios(desirable, extreme):
    logratios = torch.tensor([extreme], requires_grad=True)
    given = (logratios, torch.zeros(1), torch.tensor([desirable]), torch.tensor(0.0))

    losses = kto_log_sigmoid_loss(*given, beta=0.1)
    losses.sum().backward()

    assert losses.item() == pytest.approx(1e3 if desirable == (extreme < 0) else 0.0)
    assert logratios.grad.isfinite().all()


def test_gradients_are_the_derivatives():
    def losses(policy):
        return kto_log_sigmoid_loss(policy, REFERENCE, DESIRABLE, POINT, beta=0.5, **WEIGHTS)

    assert torch.autograd.gradcheck(losses, (POLICY.clone().requires_grad_(),))


def test_no_gradient_flows_through_the_reference_point():
    policy, point = POLICY.clone().requires_grad_(), POINT.clone().requires_grad_()

    kto_log_sigmoid_loss(policy, REFERENCE, DESIRABLE, point, beta=0.1).sum().backward()

    assert point.grad is None


def test_order_of_completions_makes_no_difference():
    order = [3, 0, 5, 1, 4, 2]

    moved = kto_log_sigmoid_loss(
        POLICY[order], REFERENCE[order], DESIRABLE[order], POINT, beta=0.1, **WEIGHTS
    )

    expected = kto_log_sigmoid_loss(POLICY, REFERENCE, DESIRABLE, POINT, beta=0.1, **WEIGHTS)
    torch.testing.assert_close(moved, expected[order], **EXACT)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (POLICY, REFERENCE[:5], DESIRABLE, POINT),
            r"kto_log_sigmoid_loss: policy_logps \(6,\) and ref_logps \(5,\) must both",
        ),
        ((POLICY, REFERENCE, DESIRABLE[:1], POINT), r"\(6,\) and desirable \(1,\) must both"),
        ((POLICY, REFERENCE, DESIRABLE, POINT[None]), r"the shape \(1,\); expected \[\]"),
        ((POLICY, REFERENCE, DESIRABLE.long(), POINT), "is torch.int64; expected torch.bool"),
    ],
)
def test_wrong_shapes_are_refused(inputs, text):
    with pytest.raises(ValueError, match=text):
        kto_log_sigmoid_loss(*inputs, beta=0.1)


def test_the_component_is_the_function():
    batch = loss_batch(
        [[-1.0, -2.0], [-4.0]],
        reference=[[-1.5, -2.5], [-3.0]],
        desirable=[True, False],
        reference_point=0.25,
    )

    output = KTOLogSigmoid(beta=0.7, **WEIGHTS)(batch)

    logps, ref_logps = torch.tensor([[-3.0, -4.0], [-4.0, -3.0]], dtype=torch.float64)
    point = torch.tensor(0.25, dtype=torch.float64)
    expected = kto_log_sigmoid_loss(
        logps, ref_logps, torch.tensor([True, False]), point, beta=0.7, **WEIGHTS
    )
    torch.testing.assert_close(output.losses, expected, **EXACT)
    assert output.weights is None
    assert output.rewards.tolist() == pytest.approx([0.7, -0.7])
