"""The rules for every loss on pairs, whatever its formula."""

import functools

import pytest
import torch

from halo_methods.apo import apo_down_loss, apo_zero_loss
from halo_methods.bradley_terry import bradley_terry_loss
from halo_methods.ipo import ipo_loss
from halo_methods.orpo import orpo_loss
from halo_methods.simpo import simpo_loss
from halo_methods.slic import slic_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
PAIRS = 6
LOGPS = list(
    -torch.rand(4, PAIRS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(5)
)
LENGTHS = [
    torch.tensor([3.0, 1.0, 7.0, 2.0, 5.0, 4.0], dtype=torch.float64),
    torch.tensor([2.0, 6.0, 1.0, 3.0, 3.0, 9.0], dtype=torch.float64),
]
WITH_REFERENCE = {
    "ipo": functools.partial(ipo_loss, tau=0.3),
    "apo_zero": functools.partial(apo_zero_loss, beta=0.5),
    "apo_down": functools.partial(apo_down_loss, beta=0.5),
}
WITH_LENGTHS = {
    "simpo": functools.partial(simpo_loss, beta=2.0, gamma=1.0),
    "orpo": functools.partial(orpo_loss, odds_ratio_weight=0.5),
}
# name: (loss, its inputs, the number of inputs with a gradient)
LOSSES = {
    **{name: (loss, LOGPS, 2) for name, loss in WITH_REFERENCE.items()},
    **{name: (loss, [*LOGPS[:2], *LENGTHS], 2) for name, loss in WITH_LENGTHS.items()},
    "slic": (functools.partial(slic_loss, beta=1.0, regulariser_weight=0.1), LOGPS[:3], 3),
    "bradley_terry": (bradley_terry_loss, LOGPS[:2], 2),
}
EVERY_LOSS = pytest.mark.parametrize(
    ("loss", "given", "differentiable"), LOSSES.values(), ids=LOSSES
)
EVERY_NAME = pytest.mark.parametrize("name", LOSSES)


@EVERY_LOSS
def test_one_loss_per_pair_comes_back(loss, given, differentiable):
    assert loss(*given).shape == (PAIRS,)
    assert loss(*(values[:1] for values in given)).shape == (1,)


@EVERY_LOSS
def test_gradients_are_the_derivatives(loss, given, differentiable):
    moved = tuple(values.clone().requires_grad_() for values in given[:differentiable])

    assert torch.autograd.gradcheck(lambda *logps: loss(*logps, *given[differentiable:]), moved)


@EVERY_LOSS
def test_order_of_pairs_makes_no_difference(loss, given, differentiable):
    order = [3, 0, 5, 1, 4, 2]

    moved = loss(*(values[order] for values in given))

    torch.testing.assert_close(moved, loss(*given)[order], **EXACT)


@EVERY_LOSS
def test_a_pair_does_not_depend_on_the_others(loss, given, differentiable):
    alone = torch.cat([loss(*(values[i : i + 1] for values in given)) for i in range(PAIRS)])

    torch.testing.assert_close(alone, loss(*given), **EXACT)


@EVERY_LOSS
@pytest.mark.parametrize("wrong", [torch.zeros(()), torch.zeros(1), torch.zeros(PAIRS, 1)])
def test_a_wrong_shape_is_refused_wherever_it_is(loss, given, differentiable, wrong):
    for position in range(len(given)):
        mixed = [wrong if i == position else values for i, values in enumerate(given)]
        with pytest.raises(ValueError, match=r"all must have the shape \[P\], one value per pair"):
            loss(*mixed)


@EVERY_LOSS
def test_a_wrong_shape_is_refused_also_when_all_have_it(loss, given, differentiable):
    for wrong in ([values[None] for values in given], [values[0] for values in given]):
        with pytest.raises(ValueError, match=r"all must have the shape \[P\], one value per pair"):
            loss(*wrong)


@EVERY_NAME
def test_wrong_shapes_are_named_with_the_function(name):
    loss, given, _ = LOSSES[name]
    expected = rf"^{name}_loss: \w+ \({PAIRS},\), \w+ \(5,\)"

    with pytest.raises(ValueError, match=expected):
        loss(given[0], given[1][:5], *given[2:])


@EVERY_NAME
@pytest.mark.parametrize("chosen", [0.0, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e4])
def test_loss_and_gradient_are_finite_at_extremes(name, chosen, rejected):
    loss, given, _ = LOSSES[name]
    policy = [torch.tensor([v], requires_grad=True) for v in (chosen, rejected)]
    if name in WITH_REFERENCE:
        rest = [torch.tensor([-1e4 - v.item()]) for v in policy]  # log-ratios of +-1e4
    else:
        rest = [torch.ones(1) for _ in given[2:]]

    losses = loss(*policy, *rest)
    losses.sum().backward()

    assert losses.isfinite().all()
    assert all(values.grad.isfinite().all() for values in policy)


@EVERY_LOSS
def test_losses_keep_the_type_of_what_they_are_given(loss, given, differentiable):
    assert loss(*given).dtype == torch.float64
    assert loss(*(values.float() for values in given)).dtype == torch.float32


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_what_policy_and_reference_share_cancels(name):
    loss, (chosen, rejected, ref_chosen, ref_rejected), _ = LOSSES[name]
    shared = torch.linspace(-50, 0, PAIRS, dtype=torch.float64)

    moved = loss(chosen + shared, rejected - shared, ref_chosen + shared, ref_rejected - shared)

    torch.testing.assert_close(moved, loss(chosen, rejected, ref_chosen, ref_rejected))


@pytest.mark.parametrize("name", ["apo_zero", "simpo", "orpo", "slic", "bradley_terry"])
def test_the_chosen_completion_is_raised_and_the_rejected_one_lowered(name):
    loss, given, _ = LOSSES[name]
    chosen, rejected = (values.clone().requires_grad_() for values in given[:2])

    loss(chosen, rejected, *given[2:]).sum().backward()

    # beyond its margin, SLiC has no gradient for a pair
    assert (chosen.grad <= 0).all()
    assert (rejected.grad >= 0).all()
    assert (chosen.grad < 0).any()
    assert (rejected.grad > 0).any()
