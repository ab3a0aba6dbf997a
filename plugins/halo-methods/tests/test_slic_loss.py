import math

import pytest
import torch

from halo_core.testing import paired_batch
from halo_methods.components import SLiC
from halo_methods.slic import slic_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CHOSEN = [[-0.5, -1.0, -0.25], [-2.0], [-0.1, -0.1]]
REJECTED = [[-1.5], [-0.5, -0.5, -3.0, -1.0], [-4.0, -0.3]]
SAMPLES = [[-1.0, -1.0], [-0.3, -0.6, -0.9], [-5.0]]


def probability(tokens):
    return math.prod(math.exp(logp) for logp in tokens)


def equation_5(chosen, rejected, kept, beta, weight):
    """Report eq. 5 and the one after it in plain Python, from probabilities of sequences."""
    calibration = max(0, beta - math.log(probability(chosen)) + math.log(probability(rejected)))
    return calibration + weight * -math.log(probability(kept))


def tensor(completions):
    return torch.tensor([sum(tokens) for tokens in completions], dtype=torch.float64)


def recomputed(kept, beta, weight):
    rows = zip(CHOSEN, REJECTED, kept, strict=True)
    losses = [equation_5(*row, beta, weight) for row in rows]
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("weight", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("kept", [CHOSEN, SAMPLES])
def test_loss_is_equation_5_with_its_regulariser(beta, weight, kept):
    losses = slic_loss(
        tensor(CHOSEN), tensor(REJECTED), tensor(kept), beta=beta, regulariser_weight=weight
    )

    torch.testing.assert_close(losses, recomputed(kept, beta, weight), **EXACT)


def test_a_pair_beyond_its_margin_only_pays_the_regulariser():
    chosen = torch.tensor([-2.0], requires_grad=True)
    rejected = torch.tensor([-4.0], requires_grad=True)

    loss = slic_loss(chosen, rejected, chosen, beta=1.0, regulariser_weight=0.1)
    loss.sum().backward()

    assert loss.item() == pytest.approx(0.2)
    assert chosen.grad.item() == pytest.approx(-0.1)
    assert rejected.grad.item() == 0.0


def test_moving_both_completions_leaves_the_calibration_as_it_is():
    given, moved = tensor(CHOSEN), tensor(CHOSEN) - 3.0
    loss = slic_loss(given, tensor(REJECTED), given, beta=1.0, regulariser_weight=0.0)

    shifted = slic_loss(moved, tensor(REJECTED) - 3.0, moved, beta=1.0, regulariser_weight=0.0)

    torch.testing.assert_close(shifted, loss, **EXACT)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [-1.75, -2.0, -0.2]),
        ({"regulariser_per": "token"}, [-1.75 / 3, -2.0, -0.1]),
        ({"regulariser": "samples"}, [-2.0, -1.8, -5.0]),
        ({"regulariser": "samples", "regulariser_per": "token"}, [-1.0, -0.6, -5.0]),
    ],
)
def test_the_regulariser_is_the_likelihood_of_what_the_options_say(options, kept):
    samples = SAMPLES if "regulariser" in options else None
    output = SLiC(**options)(paired_batch(CHOSEN, REJECTED, samples=samples))

    kept = torch.tensor(kept, dtype=torch.float64)
    expected = slic_loss(tensor(CHOSEN), tensor(REJECTED), kept, beta=1.0, regulariser_weight=0.1)
    torch.testing.assert_close(output.losses, expected, **EXACT)
    assert output.weights is None


def test_samples_are_needed_only_where_they_regularise():
    assert SLiC().needed() == ("policy_logps",)
    assert SLiC(regulariser="samples").needed() == ("policy_logps", "reference_samples")


def test_rewards_are_the_log_probabilities_that_are_compared():
    output = SLiC(regulariser="samples")(paired_batch(CHOSEN, REJECTED, samples=SAMPLES))

    assert output.rewards.tolist() == pytest.approx(
        [-1.75, -1.5, -2.0, -2.0, -5.0, -1.8, -0.2, -4.3, -5.0]
    )
