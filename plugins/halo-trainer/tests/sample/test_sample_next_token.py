from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from halo_core.sampling import Sampling
from halo_trainer.sample.next_token import LIKELY, _nucleus, choose, uniforms

LOGITS = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]]))


def drawn(choice: Sampling, number: float, logits: torch.Tensor = LOGITS) -> int:
    return int(choose(logits, torch.tensor([number], dtype=torch.float64), choice))


def test_number_of_a_position_depends_on_seed_prompt_and_position_only() -> None:
    numbers = uniforms(1, "a", 10)
    assert np.array_equal(uniforms(1, "a", 1000)[:10], numbers)
    assert len({*numbers, *uniforms(1, "b", 10), *uniforms(2, "a", 10)}) == 30


def test_samples_of_a_prompt_have_numbers_of_their_own_and_the_first_those_of_one() -> None:
    assert np.array_equal(uniforms(1, "a", 10, sample=0), uniforms(1, "a", 10))
    streams = [uniforms(1, "a", 10, sample=number) for number in range(4)]
    assert len({*np.concatenate(streams)}) == 40
    assert np.array_equal(uniforms(1, "a", 1000, sample=3)[:10], streams[3])


def test_numbers_are_uniform() -> None:
    numbers = np.concatenate([uniforms(1, f"prompt {i}", 500) for i in range(20)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    # Chi-square with 9 degrees of freedom: 27.9 is its 99.9 % quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9


@pytest.mark.parametrize(
    ("number", "token"), [(0.0, 0), (0.0999, 0), (0.1001, 1), (0.4999, 1), (0.55, 2), (0.99, 3)]
)
def test_number_falls_into_a_tokens_share(number: float, token: int) -> None:
    assert drawn(Sampling(), number) == token


def test_temperature_zero_takes_the_most_probable() -> None:
    assert {drawn(Sampling(temperature=0), number) for number in (0.0, 0.5, 0.999)} == {1}


def test_low_temperature_sharpens() -> None:
    # p^2 normalised: .01 .16 .04 .09, sum .30
    half = Sampling(temperature=0.5)
    assert drawn(half, 0.01 / 0.30 - 1e-6) == 0
    assert drawn(half, 0.01 / 0.30 + 1e-6) == 1
    assert drawn(half, 0.21 / 0.30 + 1e-6) == 3


@pytest.mark.parametrize(
    ("choice", "tokens"),
    [
        (Sampling(top_k=1), {1}),
        (Sampling(top_k=2), {1, 3}),
        (Sampling(top_k=9), {0, 1, 2, 3}),
        (Sampling(top_p=0.4), {1}),
        (Sampling(top_p=0.69), {1, 3}),
        (Sampling(top_p=0.71), {1, 2, 3}),
        (Sampling(top_p=0.91), {0, 1, 2, 3}),
        (Sampling(top_p=1e-9), {1}),
        (Sampling(top_k=3, top_p=0.7), {1, 3}),
    ],
)
def test_kept_tokens_are_the_most_probable_ones(choice: Sampling, tokens: set[int]) -> None:
    grid = [i / 200 for i in range(200)]
    assert {drawn(choice, number) for number in grid} == tokens


@pytest.mark.parametrize(
    ("choice", "tokens"),
    [
        (Sampling(top_k=1), {1}),
        (Sampling(top_k=2), {1, 2}),
        (Sampling(top_k=3), {1, 2, 4}),
        (Sampling(top_k=4), {0, 1, 2, 4}),
        (Sampling(top_p=0.2), {1}),
        (Sampling(top_p=0.49), {1, 2}),
        (Sampling(top_p=0.8), {0, 1, 2, 4}),
        (Sampling(top_k=2, top_p=0.9), {1, 2}),
    ],
)
def test_of_equally_probable_tokens_the_first_in_the_vocabulary_are_kept(
    choice: Sampling, tokens: set[int]
) -> None:
    tied = torch.log2(torch.tensor([[0.125, 0.25, 0.25, 0.125, 0.25]])) * math.log(2)
    grid = [i / 200 for i in range(200)]
    assert {drawn(choice, number, tied) for number in grid} == tokens
    others = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    numbers = torch.full((4,), 0.9, dtype=torch.float64)
    batch = choose(torch.cat([others, tied]), numbers, choice)
    assert int(batch[-1]) == drawn(choice, 0.9, tied)


def test_shares_of_kept_tokens_keep_their_proportion() -> None:
    numbers = torch.from_numpy(uniforms(0, "share", 20_000))
    tokens = choose(LOGITS.expand(20_000, 4), numbers, Sampling(top_k=2))
    share = (tokens == 1).double().mean().item()
    # Four standard errors of a share of 4/7 in 20,000 draws.
    assert abs(share - 4 / 7) < 4 * math.sqrt(4 / 7 * 3 / 7 / 20_000)


def test_tokens_without_probability_are_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    extremes = (0.0, 0.5 - 1e-12, 0.5, float(np.nextafter(1, 0)), 1 - 2.0**-52)
    assert [drawn(Sampling(), number, logits) for number in extremes[:3]] == [1, 1, 3]
    assert drawn(Sampling(), 1 - 2.0**-52, logits) == 3


def test_rounding_of_almost_equal_tokens_does_not_change_the_draw() -> None:
    logits = torch.zeros(1, 50)
    noise = 1e-6 * torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    for number in (0.111, 0.333, 0.777):
        nucleus = Sampling(top_p=0.999)
        assert drawn(Sampling(), number, logits) == drawn(Sampling(), number, logits + noise)
        assert drawn(nucleus, number, logits) == int(number * 50)


@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.99999])
def test_a_nucleus_among_the_likely_tokens_is_the_one_among_all(top_p: float) -> None:
    generator = torch.Generator().manual_seed(0)
    # The second row is so flat that its nucleus has more than the likely tokens.
    logits = torch.randn(2, 3 * LIKELY, generator=generator) * torch.tensor([[6.0], [0.01]])
    probabilities = logits.double().softmax(-1)
    found = _nucleus(probabilities, top_p)
    ordered, order = probabilities.sort(-1, descending=True)
    kept = ordered.where(ordered.cumsum(-1) - ordered < top_p, 0)
    assert torch.equal(found, torch.zeros_like(found).scatter(1, order, kept))
    single = _nucleus(probabilities[:1], top_p)
    assert torch.equal(single, found[:1])
