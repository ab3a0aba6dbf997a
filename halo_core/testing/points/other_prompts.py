"""Checks that mismatched pairs have completions of other prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator

from halo_core.reference_point import Candidate, PairingPlan, RefPointEstimator
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise

SEEDS = 8
"""Number of generators with which pairs are made."""

BATCH = 12
"""Completions of a batch."""


def check_other_prompts(estimator: RefPointEstimator) -> None:
    """Checks that each prompt gets the completion of another prompt, where there are others.

    Raises:
        AssertionError: When one gets its own completion with one of the seeds that are tried.
            Another completion of the same prompt is advice: published code shifts a batch by one.
    """
    if estimator.observes != "mismatched":
        return
    for plan, where in _plans(estimator.partners() == "fixed"):
        candidates = [*plan.batch, *plan.following, *plan.fixed]
        for seed in range(SEEDS):
            with must_not_raise(estimator, "pairs()"):
                pairs = estimator.pairs(plan, random.Random(seed))
            for pair in pairs:
                asked, answered = candidates[pair.prompt], candidates[pair.completion]
                own = "its own completion" if asked is answered else "another one of its own"
                told = (
                    f"pairs() gives a prompt {own} ({pair}), {where}; expected one of another "
                    "prompt: compare prompt_id. Positions count from the first one of "
                    "[*plan.batch, *plan.following, *plan.fixed]"
                )
                expect(asked is not answered, estimator, told)
                if asked.prompt_id == answered.prompt_id:
                    advise(estimator, told)
                    return


def _plans(fixed: bool) -> Iterator[tuple[PairingPlan, str]]:
    """Yields plans, and words for them: different prompts, and two completions of each prompt."""
    for each, where in (
        (1, f"although the {BATCH} prompts of the batch differ"),
        (2, f"although the batch has {BATCH // 2} prompts"),
    ):
        made = [
            [
                Candidate(f"{what} prompt {place // each}", f"{what} completion {place}")
                for place in range(BATCH)
            ]
            for what in ("own", "later", "far")
        ]
        yield PairingPlan(made[0], made[1], made[2] if fixed else ()), where


__all__ = ["check_other_prompts"]
