"""Checks what an estimator does with the log-ratios, the state and the pairs that it gets."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from halo_core.errors import nearest
from halo_core.option_fields import values_by_alias
from halo_core.reference_point import (
    Estimate,
    Observed,
    Pair,
    RefPointEstimator,
)
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.options.option_effects import has_defaults, legal_variants
from halo_core.testing.points.constant_logratios import check_constant
from halo_core.testing.points.estimate_numbers import check_numbers
from halo_core.testing.points.other_prompts import check_other_prompts
from halo_core.testing.points.rounded_states import check_rounded
from halo_core.testing.processes.kept_state import caches_of

STEPS = 20
"""Steps in which an effect of the log-ratios must appear, unless options are larger numbers."""

LATER = 1_100
"""Steps after which an effect is given up, whatever the options are."""

BATCH = 12
"""Completions of a batch."""


def check_observes(estimator: RefPointEstimator) -> None:
    """Checks that the log-ratios change the point, the state or a metric.

    If they do so only with other options than the given ones, this is advice.

    Raises:
        AssertionError: When they change nothing with any options that were tried, or with the
            defaults, or when the point changes with the number of completions of the batch.
    """
    if estimator.observes == "nothing":
        return
    if _observes(estimator):
        _check_batch_size(estimator)
        return
    if not has_defaults(estimator) and any(_observes(v) for v in legal_variants(estimator)):
        advise(
            estimator,
            "no log-ratio changes the point, the state or a metric with these options, and with "
            "others they do. Do two options contradict each other?",
        )
        return
    expect(
        False,
        estimator,
        f"observes = {estimator.observes!r}, and no log-ratio changes the point, the state or a "
        "metric; expected observes = 'nothing', with which halo computes none of them",
    )


def _check_batch_size(estimator: RefPointEstimator) -> None:
    """Checks that a point is the same if only some completions of a batch are in pairs."""
    rng = random.Random(11)
    logratios = [rng.gauss(1.0, 0.5) for _ in range(BATCH)]
    pairs = [Pair(i, i) for i in range(BATCH)]
    points = []
    for size in (BATCH, 3 * BATCH):
        with must_not_raise(estimator, "estimate()"):
            observed = Observed(list(logratios), [3] * BATCH, list(pairs), size)
            points.append(estimator.estimate(observed, {}).value)
    expect(
        points[0] == points[1],
        estimator,
        f"with the same {BATCH} log-ratios, the point is {points[0]:g} in a batch of {BATCH} "
        f"completions and {points[1]:g} in one of {3 * BATCH}; expected the same: divide by the "
        "number of log-ratios, because not each completion has a pair",
    )


def _observes(estimator: RefPointEstimator) -> bool:
    """Returns whether two courses of log-ratios give other points, states or metrics."""
    rng = random.Random(5)
    states: list[Mapping[str, float]] = [{}, {}]
    for step in range(LATER):
        usual = [rng.gauss(0.0, 1.0) for _ in range(BATCH)]
        made = [
            _estimate(estimator, [factor * each + shift for each in usual], state)
            for (factor, shift), state in zip(((1.0, 0.5), (-3.0, 2.0)), states, strict=True)
        ]
        if made[0] != made[1]:
            return True
        states = [each.state for each in made]
        if step >= STEPS and not states[0]:
            return False  # Without a state, each step is like the others.
    return False


def check_reads_state(estimator: RefPointEstimator) -> None:
    """Checks that an estimator gives the numbers that it reads from its state.

    Raises:
        AssertionError: When it reads a number and never has a state, or gives an unread number
            with nearly the same name.
    """
    read: dict[str, None] = {}
    given: dict[str, None] = {}
    state: Mapping[str, float] = {}
    reads_all = False
    for seed in range(STEPS):
        rng = random.Random(seed)
        logratios = [rng.gauss(0.5, 1.0) for _ in range(BATCH)]
        reading = _Read(state, read)
        state = _estimate(estimator, logratios, reading).state
        reads_all = reads_all or reading.whole
        given |= dict.fromkeys(state)
    missing = [name for name in read if name not in given]
    is_read = reads_all or any(name in read for name in given)
    told = f"{', '.join(map(repr, missing[:3]))} of the state, which it does not give at any step"
    unread = [] if reads_all else [name for name in given if name not in read]
    alike = [near for name in missing for near in nearest(name, unread, most=3)]
    expect(
        not alike,
        estimator,
        f"estimate() reads {told}, and gives {', '.join(map(repr, alike[:3]))}, which it does not "
        "read; give and read the same name",
    )
    if given and missing and is_read:
        advise(estimator, f"estimate() reads {told} that was tried. Is a name misspelt?")
        return
    names = ", ".join(map(repr, given)) or "nothing"
    expect(
        not missing,
        estimator,
        f"estimate() reads {told}; so it starts again at each step. It gives {names}, which it "
        "does not read. Return Estimate(value, state) with the same names",
    )


class _Read(dict[str, Any]):
    """A state that notes which numbers are read by their names, or whether all of them are."""

    def __init__(self, state: Mapping[str, float], read: dict[str, None]) -> None:
        super().__init__(state)
        self._read = read
        self.whole = False

    def get(self, key: Any, default: Any = None) -> Any:
        self._read[key] = None
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self._read[key] = None
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._read[str(key)] = None
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.whole = True
        return super().__iter__()

    def keys(self) -> Any:
        self.whole = True
        return super().keys()

    def values(self) -> Any:
        self.whole = True
        return super().values()

    def items(self) -> Any:
        self.whole = True
        return super().items()


def check_rises(estimator: RefPointEstimator) -> None:
    """Checks the first point, and that a point follows the log-ratios.

    It advises on a first point that is not 0 if the estimator has options that are numbers, and on
    a point that falls when all log-ratios rise from some values and rises from others: it may be an
    option, or measure a spread.

    Raises:
        AssertionError: When the first point is not 0 although no option is a number, when the point
            falls and never rises with all log-ratios, or grows without end, or when a number of the
            state is rounded.
    """
    if estimator.observes == "nothing":
        return
    _check_start(estimator)
    rng = random.Random(7)
    spread = [rng.uniform(-0.5, 0.5) for _ in range(BATCH)]
    falls, rises = "", False
    for low, high in RANGES:
        before = _settled_point(estimator, [each + low for each in spread])
        after = _settled_point(estimator, [each + high for each in spread])
        rises = rises or after > before
        if after < before and not falls:
            falls = (
                f"the point falls from {before:g} to {after:g} when all log-ratios rise from "
                f"around {low:g} to around {high:g}. Is a sign wrong?"
            )
    expect(not falls or rises, estimator, f"{falls} It rises at none of the values tried")
    if falls:
        advise(estimator, falls)
    _check_bounded(estimator, spread)
    check_rounded(estimator)


RANGES = ((-2.0, -1.0), (-1.0, 1.0), (1.0, 2.0))
"""Pairs of values around which the log-ratios lie."""


def _check_start(estimator: RefPointEstimator) -> None:
    start = _settled_point(estimator, [0.0] * BATCH)
    told = (
        f"the point is {start:g} where the policy equals its reference, so that all log-ratios "
        "are 0; expected 0, because every reward is 0 there. Is a default of the state wrong?"
    )
    numbers = [v for v in values_by_alias(estimator).values() if isinstance(v, int | float)]
    expect(not start or bool(numbers), estimator, told)
    if start:
        advise(estimator, told)


def _check_bounded(estimator: RefPointEstimator, spread: Sequence[float]) -> None:
    """Checks that the point stays near the log-ratios if they stay as they are."""
    state: Mapping[str, float] = {}
    point = 0.0
    for step in range(MANY):
        estimate = _estimate(estimator, [each + 1.0 for each in spread], state)
        state, point = estimate.state, estimate.value
        if step >= STEPS and not state:
            return  # Without a state, each step is like the others.
    expect(
        abs(point) <= FARTHEST,
        estimator,
        f"the point is {point:g} after {MANY} steps with log-ratios around 1; expected it to stay "
        "near them. Does it step away from them, or add up all of them?",
    )


MANY = 300
"""Steps after which a point must have settled."""

FARTHEST = 30.0
"""Largest point in nats after these steps."""


def _settled_point(estimator: RefPointEstimator, logratios: Sequence[float]) -> float:
    """Returns the point of the second of two steps with these log-ratios."""
    first = _estimate(estimator, logratios, {})
    return _estimate(estimator, logratios, first.state).value


def check_caches(estimator: RefPointEstimator) -> None:
    """Checks that no cache without a limit grows with each batch.

    Raises:
        AssertionError: When one does.
    """
    before = caches_of(estimator)
    if not before:
        return
    state: Mapping[str, float] = {}
    for seed in range(STEPS):
        rng = random.Random(1_000 + seed)
        # Far from the others, so that a cache of rounded numbers has none of them yet.
        logratios = [rng.gauss(7.0 * (seed + 3), 3.0) for _ in range(BATCH)]
        state = _estimate(estimator, logratios, state).state
    for name, size in caches_of(estimator).items():
        grown = size - before.get(name, 0)
        expect(
            2 * grown < STEPS,
            estimator,
            f"the cache of {name} grows by {grown} in {STEPS} steps, and has no limit; expected "
            "none, or functools.lru_cache with maxsize: log-ratios never come again",
        )


def _estimate(
    estimator: RefPointEstimator, logratios: Sequence[float], state: Mapping[str, float]
) -> Estimate:
    """Returns the estimate of a batch whose pairs have these log-ratios."""
    count = len(logratios)
    observed = Observed(list(logratios), [3] * count, [Pair(i, i) for i in range(count)], count)
    if estimator.observes == "nothing":
        observed = Observed([], [], [], count)
    with must_not_raise(estimator, "estimate()"):
        estimate = estimator.estimate(observed, state if isinstance(state, _Read) else dict(state))
    check_numbers(estimator, f"log-ratios such as {logratios[0]:g}", estimate)
    return estimate


USE_CHECKS: Sequence[Callable[[RefPointEstimator], None]] = (
    check_observes,
    check_reads_state,
    check_rises,
    check_constant,
    check_other_prompts,
    check_caches,
)
"""The checks of estimators that do not make their points within pairs."""
