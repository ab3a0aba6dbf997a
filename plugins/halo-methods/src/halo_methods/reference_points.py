"""The reference points: what rewards are compared with."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import ClassVar

from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_methods.citations import HALOS
from halo_methods.mismatched_kl import make_pairs, mismatched_kl


class MismatchedKL(RefPointEstimator):
    """The KL divergence from the reference, estimated on mismatched pairs of the global batch."""

    citation: ClassVar[str | None] = HALOS + ", estimate of the KL term below eq. 8"

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns one pair per completion of the batch, where a partner exists."""
        found = make_pairs(_ids(plan.batch), _ids(plan.following), rng)
        return [Pair(prompt, completion) for prompt, completion in found]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean log-ratio of the pairs, or 0 where it is negative or has no pairs."""
        return Estimate(mismatched_kl(observed.logratios), metrics=_pair_metrics(observed))


def _ids(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    return [(candidate.prompt_id, candidate.completion_id) for candidate in candidates]


def _pair_metrics(observed: Observed) -> dict[str, tuple[float, float]]:
    count, size = len(observed.logratios), observed.batch_size
    borrowed = sum(pair.completion >= size for pair in observed.pairs)
    mean = {"policy/kl": (math.fsum(observed.logratios), float(count))} if count else {}
    return {
        **mean,
        "counts/pairs_missing": (float(size - count), 1.0),
        "counts/pairs_from_following": (float(borrowed), 1.0),
    }


class Zero(RefPointEstimator):
    """A reference point of 0: gains and losses are relative to the reference model itself."""

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns none: nothing has to be scored."""
        return ()

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns 0."""
        return Estimate(0.0)
