"""The reference points: what rewards are compared with."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
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
from halo_methods.citations import HALOS
from halo_methods.mismatched_kl import fixed_pairs, make_pairs, mismatched_kl
from halo_methods.running_mean import running_mean

if TYPE_CHECKING:
    from torch import Tensor


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
            found = fixed_pairs(batch, following, _ids(plan.fixed))
        else:
            found = make_pairs(batch, following, rng)
        return [Pair(prompt, completion) for prompt, completion in found]

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


def _ids(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    return [(candidate.prompt_id, candidate.completion_id) for candidate in candidates]


def _mean(observed: Observed) -> dict[str, tuple[float, float]]:
    count = len(observed.logratios)
    return {"policy/kl": (math.fsum(observed.logratios), float(count))} if count else {}


def _missing(observed: Observed) -> dict[str, tuple[float, float]]:
    return {"counts/pairs_missing": (float(observed.batch_size - len(observed.logratios)), 1.0)}
