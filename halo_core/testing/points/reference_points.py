"""Checks the promises of every estimator of a reference point."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.points.estimate_numbers import check_numbers
from halo_core.testing.points.points_within_pairs import WITHIN_PAIR_CHECKS
from halo_core.testing.points.reference_point_states import STATE_CHECKS
from halo_core.testing.points.reference_point_uses import USE_CHECKS
from halo_core.testing.points.watched_list import WatchedList
from halo_core.testing.stateless import only_computes


def check_reference_point(estimator: RefPointEstimator) -> None:
    """Runs `check_component` and the checks of `checks_of`, which what it observes decides.

    Args:
        estimator: An estimator with its options.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(estimator)
    check_rules(estimator, checks_of(estimator))


def checks_of(estimator: RefPointEstimator) -> Sequence[Callable[[RefPointEstimator], None]]:
    """Returns the checks of an estimator, which depend on what it observes."""
    if estimator.observes == "pair":
        return (*WITHIN_PAIR_CHECKS, check_stateless)
    return (check_pairs_and_estimates, *STATE_CHECKS, *USE_CHECKS, check_stateless)


def check_stateless(estimator: RefPointEstimator) -> None:
    """Checks that an estimator keeps nothing but its state, writes no file and changes no setting.

    Raises:
        AssertionError: When it does.
    """
    check = checks_of(estimator)[0]
    try:
        check(estimator)
        _call_once(estimator)
    except AssertionError:
        return  # This rule is a row of its own.
    with only_computes(estimator, "a call"):
        check(estimator)


def _call_once(estimator: RefPointEstimator) -> None:
    """Calls it with other values than the last ones of the check, which could otherwise hide."""
    if estimator.observes != "pair":
        with must_not_raise(estimator, "estimate()"):
            estimator.estimate(Observed([0.25], [2], [Pair(0, 0)], 1), {})


def check_pairs_and_estimates(estimator: RefPointEstimator) -> None:
    """Checks pairs and estimates for batches of all sizes, and that nothing else affects them.

    An estimator that observes mismatched pairs makes them. One that observes the batch's own
    completions gets those, and one that observes nothing gets none.

    Raises:
        AssertionError: When pairs are outside the plan or depend on more than plan and rng, when an
            estimate is not finite or not repeatable, when a state does not survive JSON, or when a
            lagged estimate differs from the value of its state.
    """
    for name, plan in _plans(estimator.partners() == "fixed").items():
        pairs = [Pair(i, i) for i in range(len(plan.batch))] if estimator.observes == "own" else []
        if estimator.observes == "mismatched":
            pairs = _check_pairs(estimator, name, plan)
        _check_estimates(estimator, name, plan, pairs)
    if estimator.observes == "mismatched":
        plan = PairingPlan([Candidate("prompt", "completion")], [])
        _check_estimates(estimator, "a batch without a pair", plan, [])


def _plans(with_fixed: bool) -> dict[str, PairingPlan]:
    batch = [Candidate(f"prompt {i}", f"completion {i}") for i in range(6)]
    one_prompt = [Candidate("prompt", f"completion {i}") for i in range(4)]
    following = [Candidate(f"later prompt {i}", f"later completion {i}") for i in range(3)]
    plans = {
        "a batch of six": PairingPlan(batch, following),
        "a batch of six at the end of an epoch": PairingPlan(batch, []),
        "a batch of one": PairingPlan(batch[:1], following),
        "a batch of one at the end of an epoch": PairingPlan(batch[:1], []),
        "a batch of one prompt": PairingPlan(one_prompt, following),
        "a batch of one prompt at the end of an epoch": PairingPlan(one_prompt, []),
    }
    if not with_fixed:
        return plans
    others = [Candidate(f"far prompt {i}", f"far completion {i}") for i in range(6)]
    own = PairingPlan(batch, following, batch)  # for data without another prompt
    fixed = {name: replace(plan, fixed=others[: len(plan.batch)]) for name, plan in plans.items()}
    return {**fixed, "a batch whose fixed partners are its own": own}


def _check_pairs(estimator: RefPointEstimator, name: str, plan: PairingPlan) -> list[Pair]:
    chance, before = random.getstate(), copy.deepcopy(plan)
    with must_not_raise(estimator, f"pairs() for {name}"):
        pairs = list(estimator.pairs(plan, random.Random(1)))
        again = list(estimator.pairs(plan, random.Random(1)))
    expect(
        random.getstate() == chance,
        estimator,
        f"{name}: pairs() draws from the global random state; draw from `rng` only",
    )
    expect(pairs == again, estimator, f"{name}: the same rng gives {pairs}, then {again}")
    expect(plan == before, estimator, f"{name}: pairs() changes the plan")
    size = len(plan.batch) + len(plan.following) + len(plan.fixed)
    for pair in pairs:
        inside = isinstance(pair, Pair) and 0 <= min(pair.prompt, pair.completion)
        expect(
            inside and max(pair.prompt, pair.completion) < size,
            estimator,
            f"{name}: {pair!r} is not a Pair of positions from 0 to {size - 1}",
        )
    _check_mismatched(estimator, name, plan, pairs)
    return pairs


def _check_mismatched(
    estimator: RefPointEstimator, name: str, plan: PairingPlan, pairs: Sequence[Pair]
) -> None:
    """Checks pairs of a batch whose prompts all differ: some have another prompt's completion."""
    prompts = {candidate.prompt_id for candidate in plan.batch}
    if len(prompts) < max(2, len(plan.batch)) or plan.fixed == plan.batch:
        return
    expect(len(pairs) > 0, estimator, f"{name}: pairs() makes no pair, so there is nothing to see")
    own = [pair for pair in pairs if pair.prompt == pair.completion]
    expect(
        len(own) < len(pairs),
        estimator,
        f"{name}: pairs() gives each prompt its own completion, although there are others; an "
        "estimator with observes = 'own' sees those without a pass of their own",
    )


def _check_estimates(
    estimator: RefPointEstimator, name: str, plan: PairingPlan, pairs: list[Pair]
) -> None:
    state: Mapping[str, float] = {}
    for scale in (0.0, 1.0, -1.0, 1e4, -1e4):
        logratios = [scale * (1 + i) / len(pairs) for i in range(len(pairs))]
        lists = [WatchedList(each) for each in (logratios, [3] * len(pairs), pairs)]
        observed = Observed(lists[0], lists[1], lists[2], len(plan.batch))
        unchanged = copy.deepcopy(observed)
        where = f"{name}, log-ratios around {scale:g}"
        state_before = dict(state)
        with must_not_raise(estimator, f"estimate() for {where}"):
            estimate = estimator.estimate(observed, state)
            again = estimator.estimate(observed, json.loads(json.dumps(state_before)))
        expect(
            isinstance(estimate, Estimate),
            estimator,
            f"{where}: estimate() returned {estimate!r}; expected an Estimate",
        )
        check_numbers(estimator, where, estimate)
        expect(
            dict(state) == state_before,
            estimator,
            f"{where}: estimate() changes the state it is given",
        )
        expect(
            estimate == again,
            estimator,
            f"{where}: the state through JSON gives {again}; expected {estimate}",
        )
        changes = [name for each in lists for name in each.changes]
        expect(
            observed == unchanged and not changes,
            estimator,
            f"{where}: estimate() changes the values that it observes, which halo uses after it"
            f"{f', with {changes[0]}()' if changes else ''}; work on a copy",
        )
        if estimator.lagged:
            known = estimator.point_from(state_before)
            expect(
                known == estimate.value,
                estimator,
                f"{where}: point_from() gives {known!r} before the step, and estimate() "
                f"{estimate.value!r}; expected the same, whatever is observed",
            )
        state = estimate.state
