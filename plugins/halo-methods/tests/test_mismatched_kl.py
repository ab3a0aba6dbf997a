import random
from collections import Counter

import pytest

from halo_core.reference_point import Candidate, Observed, Pair, PairingPlan
from halo_methods.reference_points import (
    MismatchedKL,
    Zero,
    fixed_pairs,
    make_pairs,
    mismatched_kl,
)

SEEDS = range(100)


def distinct(size):
    return [(f"prompt {i}", f"completion {i}") for i in range(size)]


def test_no_pair_joins_a_prompt_with_a_completion_given_for_it():
    for seed in SEEDS:
        rng = random.Random(seed)
        pool = [(f"p{rng.randrange(6)}", f"c{rng.randrange(9)}") for _ in range(16)]
        given = set(pool)
        for prompt, completion in make_pairs(pool[:12], pool[12:], rng):
            assert (pool[prompt][0], pool[completion][1]) not in given


@pytest.mark.parametrize("size", [2, 3, 8, 32])
def test_distinct_examples_use_each_completion_once(size):
    for seed in SEEDS:
        pairs = make_pairs(distinct(size), distinct(size), random.Random(seed))

        assert [prompt for prompt, _ in pairs] == list(range(size))
        assert sorted(completion for _, completion in pairs) == list(range(size))


def test_each_completion_is_used_once_even_when_half_the_batch_has_one_prompt():
    batch = [("crowd", f"c{i}") for i in range(8)] + distinct(8)
    for seed in SEEDS:
        pairs = make_pairs(batch, [], random.Random(seed))

        assert sorted(completion for _, completion in pairs) == list(range(16))


def test_pairs_of_a_paired_batch_use_each_completion_once():
    batch = [(f"p{i}", f"{side} {i}") for i in range(6) for side in ("chosen", "rejected")]
    for seed in SEEDS:
        pairs = make_pairs(batch, [], random.Random(seed))

        assert sorted(completion for _, completion in pairs) == list(range(12))


def test_a_crowded_prompt_shares_the_few_partners_evenly():
    batch = [("crowd", f"c{i}") for i in range(6)] + distinct(2)

    pairs = make_pairs(batch, [("later", "text")], random.Random(0))

    uses = Counter(completion for prompt, completion in pairs if prompt < 6)
    assert uses == {6: 3, 7: 3}


def test_every_matching_without_a_fixed_point_can_come_up():
    seen = {
        tuple(completion for _, completion in make_pairs(distinct(4), [], random.Random(seed)))
        for seed in range(300)
    }

    assert len(seen) == 9


def test_the_same_random_state_gives_the_same_pairs():
    first, second = random.Random(7), random.Random(7)

    assert make_pairs(distinct(9), [], first) == make_pairs(distinct(9), [], second)
    assert first.getstate() == second.getstate()


def test_another_seed_gives_other_pairs():
    pairs = {tuple(make_pairs(distinct(16), [], random.Random(seed))) for seed in range(20)}

    assert len(pairs) == 20


def test_a_batch_with_partners_borrows_none():
    for seed in SEEDS:
        pairs = make_pairs(distinct(5), [("later", "text")], random.Random(seed))

        assert max(completion for _, completion in pairs) < 5


def test_a_single_example_takes_the_nearest_following_completion_of_another_prompt():
    following = [("p", "again"), ("q", "own"), ("r", "near"), ("s", "far")]

    assert make_pairs([("p", "own")], following, random.Random(0)) == [(0, 3)]


def test_a_batch_of_one_prompt_takes_the_following_completions_in_turn():
    batch = [("p", "a"), ("p", "b"), ("p", "c")]

    pairs = make_pairs(batch, [("q", "d"), ("p", "e"), ("r", "f")], random.Random(0))

    assert pairs == [(0, 3), (1, 5), (2, 3)]


def test_a_text_given_for_the_same_prompt_elsewhere_is_no_partner():
    batch = [("p", "a"), ("p", "b"), ("q", "a")]

    pairs = make_pairs(batch, [("r", "c")], random.Random(0))

    assert dict(pairs)[0] == 3
    assert dict(pairs)[1] == 3
    assert dict(pairs)[2] == 1


def test_equal_texts_are_no_partners():
    assert make_pairs([("p", "same"), ("q", "same")], [], random.Random(0)) == []


@pytest.mark.parametrize("batch", [[], [("p", "a")], [("p", "a"), ("p", "b")]])
def test_without_any_partner_there_is_no_pair(batch):
    assert make_pairs(batch, [("p", "c")], random.Random(0)) == []


def test_the_reference_point_is_the_mean_logratio():
    assert mismatched_kl([1.0, 2.0, 6.0]) == 3.0


def test_a_negative_mean_is_clamped_once_and_not_by_pair():
    assert mismatched_kl([-5.0, 2.0]) == 0.0
    assert mismatched_kl([-1.0, 3.0]) == 1.0


def test_without_pairs_the_reference_point_is_zero():
    assert mismatched_kl([]) == 0.0


def test_fixed_pairs_join_each_prompt_with_what_is_fixed_for_it():
    batch = [("p", "a"), ("q", "b"), ("p", "c")]
    fixed = [("r", "d"), ("s", "e"), ("t", "f")]

    assert fixed_pairs(batch, [("u", "g")], fixed) == [(0, 4), (1, 5), (2, 6)]


def test_a_fixed_partner_that_is_the_completion_itself_makes_no_pair():
    assert fixed_pairs([("p", "a"), ("q", "b")], [], [("p", "a"), ("r", "c")]) == [(1, 3)]


@pytest.mark.parametrize(
    ("batch", "following", "fixed"),
    [
        ([("p", "a"), ("p", "b")], [], [("r", "b"), ("r", "c")]),
        ([("p", "a"), ("q", "b")], [("p", "d")], [("r", "d"), ("r", "c")]),
        ([("p", "a"), ("q", "b")], [], [("r", "x"), ("p", "x")]),
    ],
    ids=["in the batch", "in the following", "in the fixed ones"],
)
def test_a_fixed_partner_whose_text_is_given_for_the_prompt_makes_no_pair(batch, following, fixed):
    assert [prompt for prompt, _ in fixed_pairs(batch, following, fixed)] == [1]


def test_mismatched_kl_pairs_prompts_with_completions_of_other_prompts():
    plan = PairingPlan([Candidate("p", "a"), Candidate("q", "b")], [Candidate("r", "c")])

    assert MismatchedKL().pairs(plan, random.Random(0)) == [Pair(0, 1), Pair(1, 0)]


def test_mismatched_kl_reports_the_mean_before_it_is_clamped():
    observed = Observed([-3.0, 1.0], [4, 2], [Pair(0, 1), Pair(1, 0)], batch_size=2)

    estimate = MismatchedKL().estimate(observed, {})

    assert estimate.value == 0.0
    assert estimate.metrics["policy/kl"] == (-2.0, 2.0)


def test_mismatched_kl_counts_borrowed_and_missing_partners():
    pairs = [Pair(0, 1), Pair(1, 3)]

    estimate = MismatchedKL().estimate(Observed([1.0, 2.0], [4, 2], pairs, batch_size=3), {})

    assert estimate.value == 1.5
    assert estimate.metrics == {
        "policy/kl": (3.0, 2.0),
        "counts/pairs_missing": (1.0, 1.0),
        "counts/pairs_from_following": (1.0, 1.0),
    }


def test_mismatched_kl_without_pairs_is_zero_and_counted():
    estimate = MismatchedKL().estimate(Observed([], [], [], batch_size=2), {})

    assert estimate.value == 0.0
    assert estimate.metrics == {
        "counts/pairs_missing": (2.0, 1.0),
        "counts/pairs_from_following": (0.0, 1.0),
    }


def test_fixed_pairing_takes_the_partners_that_are_fixed():
    plan = PairingPlan(
        [Candidate("p", "a"), Candidate("q", "b")],
        [Candidate("r", "c")],
        [Candidate("s", "d"), Candidate("t", "e")],
    )

    assert MismatchedKL(pairing="fixed").partners() == "fixed"
    assert MismatchedKL(pairing="fixed").pairs(plan, random.Random(0)) == [Pair(0, 3), Pair(1, 4)]
    assert MismatchedKL().partners() == Zero().partners() == "batch"


def test_fixed_pairing_counts_missing_partners_and_borrows_none():
    observed = Observed([1.0, 2.0], [4, 2], [Pair(0, 3), Pair(1, 4)], batch_size=3)

    estimate = MismatchedKL(pairing="fixed").estimate(observed, {})

    assert estimate.value == 1.5
    assert estimate.metrics == {"policy/kl": (3.0, 2.0), "counts/pairs_missing": (1.0, 1.0)}
