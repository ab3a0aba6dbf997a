"""The reference points: what rewards are compared with."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Observes,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_methods import HALOS

if TYPE_CHECKING:
    from torch import Tensor

Ids = tuple[str, str]
"""The prompt id and the completion id of a completion; equal texts have equal ids."""
Running = Mapping[str, float]
"""``mean``, nats, and ``count``, the completions it is over; empty before the first step."""


class MismatchedKL(RefPointEstimator):
    """The KL divergence from the reference, estimated on mismatched pairs of the global batch."""

    observes: ClassVar[Observes] = "mismatched"
    citation: ClassVar[str | None] = HALOS + ", estimate of the KL term below eq. 8"

    pairing: Literal["batch", "fixed"] = Field(
        default="batch",
        description="A prompt's partner is another completion of its batch, new at every step, as "
        "in the report; or one fixed for the whole training. Both cost the same: policy and "
        "reference score the pairs at every step.",
    )

    def partners(self) -> Literal["batch", "fixed"]:
        """Returns whether the partners are fixed."""
        return self.pairing

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns one pair per completion of the batch, where a partner exists."""
        batch, following = _ids(plan.batch), _ids(plan.following)
        if self.pairing == "fixed":
            pairs = fixed_pairs(batch, following, _ids(plan.fixed))
        else:
            pairs = make_pairs(batch, following, rng)
        return [Pair(prompt, completion) for prompt, completion in pairs]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean log-ratio of the pairs, or 0 where it is negative or has no pairs."""
        metrics = {**_mean(observed), **_missing(observed)}
        if self.pairing == "batch":
            borrowed = sum(pair.completion >= observed.batch_size for pair in observed.pairs)
            metrics["counts/pairs_from_following"] = (float(borrowed), 1.0)
        return Estimate(mismatched_kl(observed.logratios), metrics=metrics)


class MatchedKL(RefPointEstimator):
    """The KL divergence from the reference, estimated on the batch's own completions."""

    observes: ClassVar[Observes] = "own"
    citation: ClassVar[str | None] = HALOS + ", eq. 8, with each prompt's own completion"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean log-ratio of the batch, or 0 where it is negative."""
        return Estimate(mismatched_kl(observed.logratios), metrics=_mean(observed))


class RunningMean(RefPointEstimator):
    """The mean log-ratio of the completions of all earlier steps; 0 at the first."""

    observes: ClassVar[Observes] = "own"
    lagged: ClassVar[bool] = True
    citation: ClassVar[str | None] = (
        "Jung et al. (2024), Binary Classifier Optimization for Large Language Model Alignment"
    )

    decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Of an exponential moving average over steps; the mean of all earlier "
        "completions when left out.",
    )

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean before this step, and the one after it as the state."""
        after = running_mean(state, observed.logratios, decay=self.decay)
        return Estimate(self.point_from(state), after, _mean(observed))

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the mean before this step."""
        return state.get("mean", 0.0)


class Zero(RefPointEstimator):
    """A reference point of 0: gains and losses are relative to the reference model itself."""

    observes: ClassVar[Observes] = "nothing"


class Dispreferred(RefPointEstimator):
    """The rejected completion's log-ratio, for the chosen one of its pair; it is differentiated."""

    observes: ClassVar[Observes] = "pair"
    citation: ClassVar[str | None] = HALOS + ", section 4"

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        """Returns the log-ratios of the rejected completions, with their gradient [P]."""
        return rejected_logratios


def _ids(candidates: Sequence[Candidate]) -> list[Ids]:
    return [(candidate.prompt_id, candidate.completion_id) for candidate in candidates]


def _mean(observed: Observed) -> dict[str, tuple[float, float]]:
    count = len(observed.logratios)
    return {"policy/kl": (math.fsum(observed.logratios), float(count))} if count else {}


def _missing(observed: Observed) -> dict[str, tuple[float, float]]:
    return {"counts/pairs_missing": (float(observed.batch_size - len(observed.logratios)), 1.0)}


def make_pairs(
    batch: Sequence[Ids], following: Sequence[Ids], rng: random.Random
) -> list[tuple[int, int]]:
    """Returns mismatched pairs: for each completion of the batch, its prompt and another's text.

    A prompt is never joined with a text that some row gives for this prompt, its own included.
    Apart from that the pairs are a random matching: each completion of the batch serves one prompt
    where that is possible, and otherwise the least used one serves again. A prompt for which the
    batch has no partner takes the nearest of `following`; where there is none either, it gets no
    pair.

    Args:
        batch: The completions of the global batch.
        following: Those that come next in the epoch, nearest first.
        rng: The only source of chance.

    Returns:
        (prompt, completion) as positions in ``[*batch, *following]``, in the order of the batch.

    References:
        Human-Aware Loss Functions (2024), the estimate of the KL term below eq. 8.

    >>> make_pairs([("p", "a"), ("p", "b")], [("p", "c"), ("q", "d"), ("r", "e")], random.Random(0))
    [(0, 3), (1, 4)]
    """
    pool = [*batch, *following]
    # Two rows may hold one text, so a prompt's texts are looked up and not only its own left out.
    given_for = _completions_by_prompt(pool)

    def fits(prompt: int, completion: int) -> bool:
        return pool[completion][1] not in given_for[pool[prompt][0]]

    partners = _random_matching(len(batch), fits, rng)
    uses = Counter(partners.values())
    for prompt in sorted(set(range(len(batch))) - partners.keys()):
        choices = [j for j in range(len(batch)) if fits(prompt, j)]
        rng.shuffle(choices)
        choices = choices or [j for j in range(len(batch), len(pool)) if fits(prompt, j)]
        if choices:
            partners[prompt] = min(choices, key=lambda j: uses[j])
            uses[partners[prompt]] += 1
    return sorted(partners.items())


def fixed_pairs(
    batch: Sequence[Ids], following: Sequence[Ids], fixed: Sequence[Ids]
) -> list[tuple[int, int]]:
    """Returns each prompt of the batch with the completion that is fixed for it.

    One that is given for this prompt by some row is left out, the prompt's own included, which
    stands for none.

    Args:
        batch: The completions of the global batch.
        following: Those that come next in the epoch.
        fixed: For each completion of the batch one of another prompt, the same in every epoch.

    Returns:
        (prompt, completion) as positions in ``[*batch, *following, *fixed]``, in the order of the
        batch.

    >>> fixed_pairs([("p", "a"), ("q", "b")], [], [("r", "c"), ("q", "b")])
    [(0, 2)]
    """
    given_for = _completions_by_prompt([*batch, *following, *fixed])
    first = len(batch) + len(following)
    return [
        (i, first + i)
        for i, (own, other) in enumerate(zip(batch, fixed, strict=True))
        if other[1] not in given_for[own[0]]
    ]


def mismatched_kl(logratios: Sequence[float]) -> float:
    """Returns the reference point, in nats: the mean log-ratio, or 0 where that is negative.

    ``z0 = max(0, mean of S(log pi(z|x')) - S(log pi_ref(z|x')))``

    A KL divergence is not negative, though its estimate can be. Without pairs it is 0, the value
    that a policy has which equals its reference.

    Args:
        logratios: Policy minus reference log-probability of each mismatched pair, nats [pairs].

    References:
        Human-Aware Loss Functions (2024), the estimate of the KL term below eq. 8.

    >>> mismatched_kl([3.0, -1.0]), mismatched_kl([-3.0, 1.0]), mismatched_kl([])
    (1.0, 0.0, 0.0)
    """
    if not logratios:
        return 0.0
    return max(0.0, math.fsum(logratios) / len(logratios))  # report, below eq. 8


def running_mean(state: Running, logratios: Sequence[float], *, decay: float | None) -> Running:
    """Returns the mean that takes in the log-ratios of one more step.

    ``mean + (of the step - mean) * share``, where the share is that of the step's completions in
    all so far, which makes it the mean of all; or ``1 - decay``, an exponential moving average that
    starts with the first step's mean.

    Args:
        state: What came back at the step before; empty at first.
        logratios: Policy minus reference log-probability of each completion of the step, nats.
        decay: Of the moving average, per step; None for the mean of all.

    References:
        Jung et al. (2024), Binary Classifier Optimization for Large Language Model Alignment: the
        reward shift delta.

    >>> running_mean({"mean": 1.0, "count": 2.0}, [4.0], decay=None)
    {'mean': 2.0, 'count': 3.0}
    >>> running_mean({"mean": 1.0, "count": 2.0}, [4.0], decay=0.5)
    {'mean': 2.5, 'count': 3.0}
    """
    if not logratios:
        return state
    of_step = math.fsum(logratios) / len(logratios)
    # Without a mean before, the step's own stands in, so that the new one is the step's own.
    mean, before = state.get("mean", of_step), state.get("count", 0.0)
    count = before + len(logratios)
    share = len(logratios) / count if decay is None else 1 - decay
    return {"mean": mean + (of_step - mean) * share, "count": count}


def _completions_by_prompt(pool: Sequence[Ids]) -> dict[str, set[str]]:
    completions: dict[str, set[str]] = defaultdict(set)
    for prompt, completion in pool:
        completions[prompt].add(completion)
    return completions


def _random_matching(
    size: int, fits: Callable[[int, int], bool], rng: random.Random
) -> dict[int, int]:
    """A random permutation whose misfits are swapped away; those that cannot be are left out."""
    partners = rng.sample(range(size), size)
    for i in range(size):
        if fits(i, partners[i]):
            continue
        for k in rng.sample(range(size), size):
            if fits(i, partners[k]) and fits(k, partners[i]):
                partners[i], partners[k] = partners[k], partners[i]
                break
    return {i: j for i, j in enumerate(partners) if fits(i, j)}
