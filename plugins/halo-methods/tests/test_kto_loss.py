import math

import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.kto import KTO, kto_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
POLICY, REFERENCE = torch.randn(
    2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
).mul(4)
DESIRABLE = torch.tensor([True, False, False, True, True, False])
POINT = torch.tensor(1.7, dtype=torch.float64)
WEIGHTS = {"desirable_weight": 1.33, "undesirable_weight": 0.7}
TOKENS = [[-1.0, -2.0], [-4.0, -0.5, -0.5], [-3.0]]
REF_TOKENS = [[-1.5, -2.5], [-3.0, -0.5, -0.5], [-1.0]]
BATCH = loss_batch(
    TOKENS, reference=REF_TOKENS, desirable=[True, False, True], reference_point=0.25
)


def loss(policy, reference, desirable, point, beta=0.1, desirable_weight=1.0, **weights):
    return kto_loss(
        policy,
        reference,
        desirable,
        point,
        beta=beta,
        desirable_weight=desirable_weight,
        undesirable_weight=weights.get("undesirable_weight", 1.0),
    )


def at_logratio(logratios, desirable, point=0.0, beta=1.0):
    desirable = torch.full(logratios.shape, desirable)
    point = torch.tensor(point, dtype=logratios.dtype)
    return loss(logratios, torch.zeros_like(logratios), desirable, point, beta=beta)


def equation_7(policy, reference, desirable, point, beta, lambda_d, lambda_u):
    """Report eq. 7 and 8 in plain Python, from the probability ratio as it is printed."""
    g = beta * (math.log(math.exp(policy) / math.exp(reference)) - point)
    h = 1 / (1 + math.exp(-g)) if desirable else 1 / (1 + math.exp(g))
    return (lambda_d if desirable else lambda_u) * (1 - h)


def test_loss_is_one_half_when_policy_equals_reference():
    losses = loss(POLICY, POLICY, DESIRABLE, torch.tensor(0.0))

    assert losses.tolist() == [0.5] * 6


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("point", [0.0, 1.7])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.33, 0.7), (0.0, 2.0)])
def test_loss_is_equations_7_and_8(beta, point, weights):
    rows = zip(POLICY.tolist(), REFERENCE.tolist(), DESIRABLE.tolist(), strict=True)
    expected = [equation_7(*row, point, beta, *weights) for row in rows]

    losses = kto_loss(
        POLICY,
        REFERENCE,
        DESIRABLE,
        torch.tensor(point, dtype=torch.float64),
        beta=beta,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
    )

    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_beta_scales_the_reference_point_too():
    logratios = torch.tensor([-3.0, 0.5, 8.0], dtype=torch.float64)

    moved_together = at_logratio(logratios + 5.0, True, point=5.0, beta=0.1)

    torch.testing.assert_close(moved_together, at_logratio(logratios, True, beta=0.1), **EXACT)


def test_loss_is_one_half_at_the_reference_point_for_both_classes():
    logratios = torch.tensor([2.5])

    assert at_logratio(logratios, True, point=2.5).item() == 0.5
    assert at_logratio(logratios, False, point=2.5).item() == 0.5


def test_losses_of_the_two_classes_are_mirror_images():
    logratios = torch.linspace(-6, 6, 13, dtype=torch.float64)

    mirrored = at_logratio(-logratios, False, point=-1.7)

    torch.testing.assert_close(mirrored, at_logratio(logratios, True, point=1.7), **EXACT)


def test_losses_of_the_two_classes_add_up_to_one():
    total = loss(POLICY, REFERENCE, DESIRABLE, POINT) + loss(POLICY, REFERENCE, ~DESIRABLE, POINT)

    torch.testing.assert_close(total, torch.ones_like(total), **EXACT)


def test_raising_a_completion_helps_if_and_only_if_it_is_desirable():
    policy = POLICY.clone().requires_grad_()

    loss(policy, REFERENCE, DESIRABLE, POINT).sum().backward()

    assert torch.equal(policy.grad < 0, DESIRABLE)


def test_gradient_has_its_closed_form():
    policy = POLICY.clone().requires_grad_()

    losses = loss(policy, REFERENCE, DESIRABLE, POINT, beta=0.3, **WEIGHTS)
    losses.sum().backward()

    value = torch.sigmoid(0.3 * (POLICY - REFERENCE - POINT))
    slopes = 0.3 * value * (1 - value)
    expected = torch.where(DESIRABLE, -1.33 * slopes, 0.7 * slopes)
    torch.testing.assert_close(policy.grad, expected, **EXACT)


def test_each_weight_scales_its_own_class():
    plain = loss(POLICY, REFERENCE, DESIRABLE, POINT)

    weighted = loss(POLICY, REFERENCE, DESIRABLE, POINT, **WEIGHTS)

    assert torch.equal(weighted[DESIRABLE], 1.33 * plain[DESIRABLE])
    assert torch.equal(weighted[~DESIRABLE], 0.7 * plain[~DESIRABLE])


def test_gradients_are_the_derivatives():
    def losses(policy):
        return loss(policy, REFERENCE, DESIRABLE, POINT, beta=0.5, **WEIGHTS)

    assert torch.autograd.gradcheck(losses, (POLICY.clone().requires_grad_(),))


@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_loss_and_gradient_are_finite_at_extreme_logratios(desirable, extreme):
    logratios = torch.tensor([extreme], requires_grad=True)

    losses = at_logratio(logratios, desirable, beta=0.1)
    losses.sum().backward()

    assert losses.item() == pytest.approx(float(desirable == (extreme < 0)))
    assert logratios.grad.isfinite().all()


def test_a_small_loss_keeps_its_digits_in_float32():
    losses = at_logratio(torch.tensor([25.0]), True)

    assert losses.item() == pytest.approx(1 / (1 + math.exp(25.0)), rel=1e-5)


def test_no_gradient_flows_through_the_reference_point():
    policy, point = POLICY.clone().requires_grad_(), POINT.clone().requires_grad_()

    loss(policy, REFERENCE, DESIRABLE, point).sum().backward()

    assert point.grad is None


def test_reference_point_may_differ_by_completion():
    points = torch.linspace(0, 3, 6, dtype=torch.float64)

    losses = loss(POLICY, REFERENCE, DESIRABLE, points)

    one_by_one = [
        loss(POLICY[i : i + 1], REFERENCE[i : i + 1], DESIRABLE[i : i + 1], points[i])
        for i in range(6)
    ]
    torch.testing.assert_close(losses, torch.cat(one_by_one), **EXACT)


@pytest.mark.parametrize("desirable", [True, False])
def test_one_sided_batches_are_the_same_as_their_part_of_a_mixed_one(desirable):
    rows = desirable == DESIRABLE

    alone = loss(POLICY[rows], REFERENCE[rows], DESIRABLE[rows], POINT, **WEIGHTS)

    mixed = loss(POLICY, REFERENCE, DESIRABLE, POINT, **WEIGHTS)
    torch.testing.assert_close(alone, mixed[rows], **EXACT)


def test_order_of_completions_makes_no_difference():
    order = [3, 0, 5, 1, 4, 2]

    moved = loss(POLICY[order], REFERENCE[order], DESIRABLE[order], POINT, **WEIGHTS)

    expected = loss(POLICY, REFERENCE, DESIRABLE, POINT, **WEIGHTS)[order]
    torch.testing.assert_close(moved, expected, **EXACT)


def test_losses_keep_the_type_of_the_log_probabilities():
    policy, reference = POLICY.float(), REFERENCE.float()

    assert loss(policy, reference, DESIRABLE, POINT.float()).dtype == torch.float32
    assert loss(POLICY, REFERENCE, DESIRABLE, POINT).dtype == torch.float64


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ((POLICY, REFERENCE[:5], DESIRABLE, POINT), r"\(6,\) and ref_logps \(5,\) must both"),
        ((POLICY, REFERENCE, DESIRABLE[:1], POINT), r"\(6,\) and desirable \(1,\) must both"),
        ((POLICY[None], REFERENCE[None], DESIRABLE[None], POINT), r"policy_logps \(1, 6\)"),
        ((POLICY.sum(), REFERENCE.sum(), DESIRABLE[0], POINT), r"must both have the shape \[B\]"),
        (
            (POLICY, REFERENCE, DESIRABLE, POINT[None]),
            r"the shape \(1,\); expected \[\] \(one for the batch\) or \(6,\)",
        ),
        ((POLICY, REFERENCE, DESIRABLE.long(), POINT), "is torch.int64; expected torch.bool"),
    ],
)
def test_wrong_shapes_are_refused(inputs, text):
    with pytest.raises(ValueError, match=text):
        loss(*inputs)


def test_a_weight_of_zero_stays_zero():
    assert KTO(desirable_weight=0).desirable_weight == 0.0
    assert KTO(undesirable_weight=0)(BATCH).losses[1].item() == 0.0


def test_kto_is_its_pure_function_counted_once_per_example():
    kto = KTO(beta=0.7, desirable_weight=1.33, undesirable_weight=0.5)

    output = kto(BATCH)

    expected = kto_loss(
        torch.tensor([-3.0, -5.0, -3.0], dtype=torch.float64),
        torch.tensor([-4.0, -4.0, -1.0], dtype=torch.float64),
        torch.tensor([True, False, True]),
        torch.tensor(0.25, dtype=torch.float64),
        beta=0.7,
        desirable_weight=1.33,
        undesirable_weight=0.5,
    )
    torch.testing.assert_close(output.losses, expected, **EXACT)
    assert output.weights is None


def test_kto_without_a_reference_point_says_so():
    with pytest.raises(ValueError, match="KTO needs a reference point, and the batch has none"):
        KTO()(loss_batch(TOKENS, reference=REF_TOKENS))


def test_kto_defaults_to_the_reference_point_of_the_report():
    assert KTO.default_reference_point == "mismatched-kl"


def test_rewards_of_kto_are_beta_times_the_logratio():
    assert KTO(beta=0.5)(BATCH).rewards.tolist() == [0.5, -0.5, -1.0]
