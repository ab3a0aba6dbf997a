"""Checks the promises of every reference update."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from halo_core.option_fields import values_by_alias
from halo_core.reference_update import ReferenceUpdate
from halo_core.testing.advice import advise
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.option_values import with_option
from halo_core.testing.options.option_effects import advise_unused, has_defaults, legal_variants
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.options.option_texts import check_texts
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.processes.kept_state import caches_of
from halo_core.testing.stateless import only_computes

STEPS = (*range(1, 301), 1_000, 10_007, 1_000_000)
"""Steps that are checked: all of a short training, and some of a long one."""

LONG = 20_000
"""Number of steps that are looked at for a first change, if there is none at `STEPS`."""

CHANGES = 5
"""Number of such changes that are looked for."""

EARLY = 1_000
"""Number of steps at which shares must not be large one after the other."""

WINDOW = 50
"""Number of such steps."""

NEARLY = 0.9
"""Share from which the reference is nearly the policy."""

LONG_S = 2.0
"""Seconds that this look may take."""

MOST = 100
"""Whole numbers among the options next to which steps are tried."""

FAR = 1_000_000
"""A late step of a long training, at which a call must be as fast as at the first ones."""

UNTRIED = range(401, 421)
"""Steps that no other rule asks for, unless an option is next to them."""

SLOW_S = 0.002
"""Seconds of one call above which every step of a training would wait for it."""


def check_reference_update(update: ReferenceUpdate) -> None:
    """Runs `check_component` and `UPDATE_CHECKS`.

    Args:
        update: A reference update with its options.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(update)
    check_rules(update, UPDATE_CHECKS)


def check_shares(update: ReferenceUpdate) -> None:
    """Checks the share at each step, and that it depends only on the step.

    It advises if the reference does not change at any step that was tried, and an option was given.

    Raises:
        AssertionError: When a share is not a number from 0 to 1, when it differs if the steps come
            in another order, when it uses the global random state, when a call takes longer than
            `SLOW_S`, or when, with the default options, the reference never changes, or is nearly
            the policy for many steps.
    """
    steps = steps_for(update)
    chance = random.getstate()
    shares = _shares(update, steps)
    expect(
        random.getstate() == chance,
        update,
        "mix() draws from the global random state; a share depends on the step alone",
    )
    shares_again = _shares(update, reversed(steps))
    for step in steps:
        expect(
            shares[step] == shares_again[step],
            update,
            f"step {step}: mix() gives {shares[step]!r}, and {shares_again[step]!r} when the steps "
            "are asked for in another order; a share depends on the step alone",
        )
    _check_speed(update)
    if not any(shares.values()) and not _later_changes(update, 1):
        told = (
            f"mix() is 0 at the steps 1 to {LONG:,} and at the later steps that were tried; so the "
            "reference may never change. Is a condition wrong?"
        )
        expect(not has_defaults(update), update, told)
        advise(update, told)
    if has_defaults(update):
        _check_stays_behind(update)


def _check_stays_behind(update: ReferenceUpdate) -> None:
    """Checks that the reference is not nearly the policy for many steps one after the other."""
    begun, nearly = time.monotonic(), 0
    for step in range(1, EARLY + 1):
        if time.monotonic() > begun + LONG_S:
            return  # A rule of its own reports a slow call.
        nearly = nearly + 1 if update.mix(step) > NEARLY else 0
        expect(
            nearly < WINDOW,
            update,
            f"mix() is above {NEARLY:g} at each of the steps {step - WINDOW + 1} to {step} with "
            "the default options, so the reference is nearly the policy, and log-ratios vanish; "
            "expected the share of the policy, not of the reference, and copies only sometimes",
        )


def steps_for(update: ReferenceUpdate) -> Sequence[int]:
    """Returns `STEPS`, and those next to the whole numbers among its options, also in lists."""
    numbers = list(_whole_numbers(list(values_by_alias(update).values())))[:MOST]
    near = {each + change for each in numbers for change in (-1, 0, 1, 2)}
    near |= {2 * each for each in numbers}
    return sorted({*STEPS, *(step for step in near if step >= 1)})


def _whole_numbers(value: object) -> Iterator[int]:
    """Yields the whole numbers in a value, at any depth."""
    if type(value) is int:
        yield value
    elif isinstance(value, Mapping):
        yield from _whole_numbers([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _whole_numbers(each)


def _later_changes(update: ReferenceUpdate, most: int) -> Sequence[int]:
    """Returns the first steps at which a share is not 0, as far as there is time to look."""
    end, found = time.monotonic() + LONG_S, []
    for step in range(1, LONG + 1):
        if update.mix(step):
            found.append(step)
        if len(found) == most or time.monotonic() > end:
            break
    return found


def _check_speed(update: ReferenceUpdate) -> None:
    """Checks that a call is fast at early steps and at a late one."""
    early, late = _fastest(update, (1, 2, 3, 10, 100, 1_000, 10_007)), _fastest(update, (FAR,) * 3)
    for where, took in {"mix()": early, f"mix({FAR})": late}.items():
        expect(
            took <= SLOW_S,
            update,
            f"{where} takes {1000 * took:.2g} ms; expected less than {1000 * SLOW_S:g} ms at every "
            "step, because a training asks for the shares of all its steps",
        )


def _fastest(update: ReferenceUpdate, steps: Iterable[int]) -> float:
    """Returns the seconds of the fastest of some calls, so that a busy machine does not count."""
    took = []
    for step in steps:
        begun = own_time()
        update.mix(step)
        took.append(own_time() - begun)
    return min(took)


def check_other_options(update: ReferenceUpdate) -> None:
    """Checks the shares with other legal values of the options.

    It advises if an option changes no share.

    Raises:
        AssertionError: When a share is then not a number from 0 to 1, a text is refused only by a
            call, a list of steps in another order loses steps, or the shares of the first and the
            last step are exchanged.
    """
    check_texts(update, lambda each: _shares(each, steps_for(each)), "mix()")
    for other in legal_variants(update):
        with or_refused():
            _shares(other, steps_for(other))
    _check_order(update)
    _check_ends(update)
    steps = [*steps_for(update), *_later_changes(update, CHANGES)]
    if any(_shares(update, steps).values()):
        advise_unused(update, lambda each: _shares(each, steps), "any share that was tried")


def _check_ends(update: ReferenceUpdate) -> None:
    """Checks that the first and the last share of a course are not exchanged."""
    shares = {
        alias: value
        for alias, value in values_by_alias(update).items()
        if isinstance(value, float) and 0 <= value <= 1
    }
    first = next((alias for alias in shares if FIRST.search(alias)), None)
    last = next((alias for alias in shares if LAST.search(alias)), None)
    if first is None or last is None or shares[first] == shares[last]:
        return
    ends = _shares(update, (1, FAR))
    at_last = math.isclose(ends[1], shares[last], abs_tol=SAME)
    at_first = math.isclose(ends[FAR], shares[first], abs_tol=SAME)
    expect(
        not (at_last and at_first),
        update,
        f"mix(1) is {ends[1]:g}, the value of {last!r}, and mix({FAR}) is {ends[FAR]:g}, that of "
        f"{first!r}; expected the opposite. Are the two exchanged?",
    )


FIRST = re.compile(r"^(first|start|begin|initial|from)", re.IGNORECASE)
LAST = re.compile(r"^(last|stop|end|final|to$)", re.IGNORECASE)
"""Names of options that are the first and the last share."""

SAME = 1e-9
"""Absolute tolerance for a share that an option gives."""


def _check_order(update: ReferenceUpdate) -> None:
    """Checks a list of steps in the opposite order, which a spec may give."""
    for alias, value in values_by_alias(update).items():
        if not isinstance(value, list | tuple) or not all(type(each) is int for each in value):
            continue
        steps = [step for step in value if step >= 1]
        if len(steps) < 2 or not all(_shares(update, steps).values()):
            continue
        try:
            other = with_option(update, alias, type(value)(value[::-1]))
        except Exception:
            continue  # It refuses this order.
        assert isinstance(other, ReferenceUpdate)
        silent = [step for step, share in _shares(other, steps).items() if not share]
        expect(
            not silent,
            other,
            f"mix() is 0 at the step {silent[0] if silent else 0} of {alias!r}, and with the same "
            "steps in the opposite order it is not; expected a validator that refuses this order, "
            "or sorts",
        )


def check_stateless(update: ReferenceUpdate) -> None:
    """Checks that a call keeps nothing for later calls, writes no file and changes no setting.

    Raises:
        AssertionError: When it does.
    """
    options = update.model_dump()
    _shares(update, UNTRIED)
    expect(
        update.model_dump() == options,
        update,
        "mix() changes the options; expected it to change nothing, because they are what the spec "
        "says. Work on a copy of a list or a mapping",
    )
    _shares(update, STEPS)
    with only_computes(update, "mix()"):
        _shares(update, reversed(STEPS))  # The last call is another one than before the block.


def check_caches(update: ReferenceUpdate) -> None:
    """Checks that no cache without a limit grows with each step.

    Raises:
        AssertionError: When one does.
    """
    before = caches_of(update)
    _shares(update, range(500_001, 500_101))
    for name, size in caches_of(update).items():
        grown = size - before.get(name, 0)
        expect(
            grown < 50,
            update,
            f"the cache of {name} grows by {grown} in 100 steps, and has no limit; expected none: "
            "each step comes once",
        )


UPDATE_CHECKS: Sequence[Callable[[ReferenceUpdate], None]] = (
    check_shares,
    check_other_options,
    check_caches,
    check_stateless,
)
"""The checks that `check_reference_update` runs after `check_component`."""


def _shares(update: ReferenceUpdate, steps: Iterable[int]) -> dict[int, float]:
    shares = {}
    for step in steps:
        with must_not_raise(update, f"mix({step})"):
            share = update.mix(step)
        expect(
            isinstance(share, int | float) and math.isfinite(share) and 0 <= share <= 1,
            update,
            f"mix({step}) is {share!r}; expected a number from 0 to 1",
        )
        shares[step] = float(share)
    return shares
