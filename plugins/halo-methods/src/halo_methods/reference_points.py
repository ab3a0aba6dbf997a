"""The reference points, which log-ratios are compared with."""

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
"""The prompt id and the completion id of a completion. Equal texts have equal ids."""
Running = Mapping[str, float]
"""``mean`` in nats, and ``count``, its number of completions. Empty before the first step."""


class MismatchedKL(RefPointEstimator):
    """The KL divergence from the reference, estimated on mismatched pairs of the global batch."""

    observes: ClassVar[Observes] = "mismatched"
    citation: ClassVar[str | None] = HALOS + ", estimate of the KL term below eq. 8"

    pairing: Literal["batch", "fixed"] = Field(
        default="batch",
        description="Partner of a prompt: another completion of its batch, new at every step, as "
        "in the report; or one that is fixed for the whole training. The policy scores the pairs "
        "at every step, and so does the reference. With `reference_store: on`, the reference "
        "scores each pair once, and so fixed pairs only in the first epoch.",
    )

    def partners(self) -> Literal["batch", "fixed"]:
        """Returns whether the partners are fixed."""
        return self.pairing

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns one pair per completion of the batch, if it has a partner."""
        batch, following = _ids(plan.batch), _ids(plan.following)
        if self.pairing == "fixed":
            pairs = fixed_pairs(batch, following, _ids(plan.fixed))
        else:
            pairs = make_pairs(batch, following, rng)
        return [Pair(prompt, completion) for prompt, completion in pairs]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean log-ratio of the pairs; 0 if it is negative or there are no pairs."""
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
        """Returns the mean log-ratio of the batch, or 0 if it is negative."""
        return Estimate(mismatched_kl(observed.logratios), metrics=_mean(observed))


class RunningMean(RefPointEstimator):
    """The mean log-ratio of the completions of all earlier steps. It is 0 at the first step."""

    observes: ClassVar[Observes] = "own"
    lagged: ClassVar[bool] = True
    citation: ClassVar[str | None] = (
        "Jung et al. (2024), Binary Classifier Optimization for Large Language Model Alignment"
    )

    decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of an exponential moving average over steps. If left out, the mean of "
        "all earlier completions is used.",
    )

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean before this step, and the state with the mean after it."""
        after = running_mean(state, observed.logratios, decay=self.decay)
        return Estimate(self.point_from(state), after, _mean(observed))

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the mean before this step."""
        return state.get("mean", 0.0)


class Zero(RefPointEstimator):
    """A reference point of 0: gains and losses are relative to the reference model itself."""

    observes: ClassVar[Observes] = "nothing"


class Dispreferred(RefPointEstimator):
    """The rejected completion's log-ratio, for the chosen one of its pair. It has a gradient."""

    observes: ClassVar[Observes] = "pair"
    citation: ClassVar[str | None] = HALOS + ", section 4"

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        """Returns the log-ratios of the rejected completions, with their gradient [P].

        Args:
            chosen_logratios: Log-ratio of each chosen completion, nats [P]. It is not used.
            rejected_logratios: Log-ratio of each rejected completion, nats [P].
        """
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

    A prompt is never paired with a text that any row gives for this prompt, including its own.
    Apart from that, the pairs are a random matching: each completion of the batch serves one prompt
    if possible. Otherwise the least used one serves again. A prompt without a partner in the batch
    takes the nearest one of `following`. If there is none either, the prompt gets no pair.

    Args:
        batch: The completions of the global batch.
        following: The next completions of the epoch, nearest first.
        rng: The only source of randomness.

    Returns:
        (prompt, completion) as positions in ``[*batch, *following]``, in the order of the batch.

    References:
        Human-Aware Loss Functions (2024), the estimate of the KL term below eq. 8.

    >>> make_pairs([("p", "a"), ("p", "b")], [("p", "c"), ("q", "d"), ("r", "e")], random.Random(0))
    [(0, 3), (1, 4)]
    """
    pool = [*batch, *following]
    # Two rows may have the same text, so all texts of a prompt are excluded, not only its own.
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
    """Returns each prompt of the batch with its fixed completion.

    A completion that any row gives for this prompt is left out. A prompt's own completion is one of
    them, and means that there is no partner.

    Args:
        batch: The completions of the global batch.
        following: The next completions of the epoch.
        fixed: One completion of another prompt for each completion of the batch, the same in every
            epoch.

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
    """Returns the reference point in nats: the mean log-ratio, or 0 if that is negative.

    ``z0 = max(0, mean of S(log pi(z|x')) - S(log pi_ref(z|x')))``

    A KL divergence is never negative, but its estimate can be. Without pairs it is 0, the value of
    a policy that equals its reference.

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
    """Returns the running mean after adding the log-ratios of one more step.

    It is ``mean + (mean of the step - mean) * share``. Without `decay`, the share is the step's
    completions divided by all completions so far, which gives the mean of all. With `decay`, the
    share is ``1 - decay``: an exponential moving average that starts with the first step's mean.

    Args:
        state: The result of the step before. It is empty at first.
        logratios: Policy minus reference log-probability of each completion of the step, nats.
        decay: Decay of the moving average per step; None for the mean of all.

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
    # Without an earlier mean, the step's own mean is used, so the new mean equals it.
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
    """Returns a random permutation. Pairs that do not fit are swapped, or else left out."""
    partners = rng.sample(range(size), size)
    for i in range(size):
        if fits(i, partners[i]):
            continue
        for k in rng.sample(range(size), size):
            if fits(i, partners[k]) and fits(k, partners[i]):
                partners[i], partners[k] = partners[k], partners[i]
                break
    return {i: j for i, j in enumerate(partners) if fits(i, j)}
