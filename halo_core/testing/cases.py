"""The batches that `check_loss` tries: mixed, one-sided, a single example, extremes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from halo_core.feedback import Feedback
from halo_core.loss import LossBatch, Need
from halo_core.testing.batches import Tokens, loss_batch

EXTREME = 1e4
"""The largest log-ratio, in nats, that a loss must survive."""

COMPLETIONS: dict[Feedback, int] = {"text": 1, "demonstration": 1, "binary": 1, "paired": 2}
"""Completions per example. Scored feedback has no batch yet."""


@dataclass(frozen=True)
class Case:
    """Some examples in plain lists, and what is special about them.

    Attributes:
        name: What is special, for messages.
        width: Completions per example.
        policy: Token log-probabilities of each completion under the policy.
        reference: The same under the reference.
        desirable: One per completion.
    """

    name: str
    width: int
    policy: Tokens
    reference: Tokens
    desirable: Sequence[bool]

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.policy) // self.width

    def take(self, examples: Sequence[int], name: str) -> Case:
        """Returns the examples at these positions, in this order."""
        rows = [i * self.width + offset for i in examples for offset in range(self.width)]
        return replace(
            self,
            name=name,
            policy=[self.policy[row] for row in rows],
            reference=[self.reference[row] for row in rows],
            desirable=[self.desirable[row] for row in rows],
        )

    def batch(
        self, needs: Sequence[Need], dtype: Literal["float32", "float64"] = "float64"
    ) -> LossBatch:
        """Returns the batch, with only what `needs` names."""
        return loss_batch(
            self.policy,
            reference=self.reference if "reference_logps" in needs else None,
            desirable=self.desirable,
            examples=[row // self.width for row in range(len(self.policy))],
            reference_point=0.3 if "reference_point" in needs else None,
            dtype=dtype,
        )


def mixed_case(feedback: Feedback) -> Case:
    """Returns four examples of different lengths, of both classes where there are two."""
    rng = random.Random(0)
    width = COMPLETIONS[feedback]
    lengths = [rng.randint(1, 4) for _ in range(4 * width)]
    policy, reference = (
        [[rng.uniform(-3.0, -0.05) for _ in range(length)] for length in lengths] for _ in range(2)
    )
    two_sided = feedback in ("binary", "paired")
    desirable = [not two_sided or row % 2 == 0 for row in range(len(lengths))]
    return Case("a mixed batch", width, policy, reference, desirable)


def ordinary_cases(feedback: Feedback) -> list[Case]:
    """Returns what a micro-batch can be: mixed, one example, one-sided, policy = reference."""
    mixed = mixed_case(feedback)
    cases = [
        mixed,
        mixed.take([1], "one example"),
        replace(mixed, name="a policy that equals its reference", policy=mixed.reference),
    ]
    if feedback == "binary":
        cases.append(mixed.take([0, 2], "a batch with desirable examples only"))
        cases.append(mixed.take([1, 3], "a batch with undesirable examples only"))
    return cases


def extreme_cases(feedback: Feedback) -> list[Case]:
    """Returns batches whose log-ratios are plus and minus `EXTREME`."""
    mixed = mixed_case(feedback)
    low = [[-EXTREME / len(tokens)] * len(tokens) for tokens in mixed.policy]
    high = [[0.0] * len(tokens) for tokens in mixed.policy]
    up = replace(mixed, name=f"log-ratios of {EXTREME:g}", policy=high, reference=low)
    down = replace(mixed, name=f"log-ratios of {-EXTREME:g}", policy=low, reference=high)
    if mixed.width == 1:
        return [up, down]
    crossed = [
        replace(
            mixed,
            name=f"log-ratios of {sign}{EXTREME:g} (chosen) and the opposite (rejected)",
            policy=[(one if row % 2 == 0 else other)[row] for row in range(len(low))],
            reference=[(other if row % 2 == 0 else one)[row] for row in range(len(low))],
        )
        for sign, one, other in (("+", high, low), ("-", low, high))
    ]
    return [up, down, *crossed]
