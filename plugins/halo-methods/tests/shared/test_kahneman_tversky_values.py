import functools

import torch

from halo_methods.shared.values import CHORD, kahneman_tversky_shortfall

EXACT = {"rtol": 1e-12, "atol": 1e-12}
kahneman_tversky = functools.partial(kahneman_tversky_shortfall, alpha=0.88, loss_aversion=2.25)


def test_kahneman_and_tverskys_function_is_exact_from_its_chord_on():
    gains = torch.tensor([CHORD, 0.5, 1.0, 40.0], dtype=torch.float64)

    torch.testing.assert_close(1 - kahneman_tversky(gains), gains**0.88, **EXACT)
    torch.testing.assert_close(1 - kahneman_tversky(-gains), -2.25 * gains**0.88, **EXACT)


def test_kahneman_and_tverskys_function_is_continuous_and_straight_within_its_chord():
    inside = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 1e-12], dtype=torch.float64)
    values = 1 - kahneman_tversky(inside * CHORD)

    torch.testing.assert_close(values, inside * CHORD**0.88, rtol=1e-10, atol=0.0)


def test_kahneman_and_tverskys_function_is_concave_in_gains_and_convex_in_losses():
    gains = torch.linspace(0, 0.01, 101, dtype=torch.float64)

    assert ((1 - kahneman_tversky(gains)).diff().diff() <= 1e-15).all()
    assert ((1 - kahneman_tversky(-gains).flip(0)).diff().diff() >= -1e-15).all()
