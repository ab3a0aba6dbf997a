"""The batches that `check_loss` tries, in plain lists: mixed, one-sided, single, extreme."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.testing.batches import Tokens

EXTREME = 1e4
"""The largest log-ratio, in nats, that a loss must survive, and the largest output of a head."""

COMPLETIONS: dict[Feedback, int] = {"text": 1, "demonstration": 1, "binary": 1, "paired": 2}
"""Completions per example. Scored feedback has no batch yet."""


@dataclass(frozen=True)
class Case:
    """Some examples in plain lists, and what is special about them.

    Attributes:
        name: What is special, for messages.
        width: Completions per example, a sample of the reference included.
        policy: Token log-probabilities of each completion under the policy.
        reference: The same under the reference.
        outputs: What a head gives at each token of each completion.
        points: A reference point of each completion.
        desirable: One per completion.
        sampled: Whether each completion is a sample of the reference.
    """

    name: str
    width: int
    policy: Tokens
    reference: Tokens
    outputs: Tokens
    points: Sequence[float]
    desirable: Sequence[bool]
    sampled: Sequence[bool]

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
            outputs=[self.outputs[row] for row in rows],
            points=[self.points[row] for row in rows],
            desirable=[self.desirable[row] for row in rows],
            sampled=[self.sampled[row] for row in rows],
        )


def mixed_case(loss: Loss) -> Case:
    """Returns four examples of different lengths, of both classes where there are two."""
    rng = random.Random(0)
    samples = "reference_samples" in loss.needed()
    feedback = loss.resolved_feedback()
    width = COMPLETIONS[feedback] + samples
    lengths = [rng.randint(1, 4) for _ in range(4 * width)]

    def tokens(low: float, high: float) -> list[list[float]]:
        return [[rng.uniform(low, high) for _ in range(length)] for length in lengths]

    policy, reference, outputs = tokens(-3.0, -0.05), tokens(-3.0, -0.05), tokens(-1.5, 1.5)
    places = [divmod(row, width) for row in range(len(lengths))]
    sampled = [samples and place == width - 1 for _, place in places]
    return Case(
        name="a mixed batch",
        width=width,
        policy=policy,
        reference=reference,
        outputs=outputs,
        points=[rng.uniform(-1.0, 1.0) for _ in lengths],
        desirable=[
            not is_sample and _is_desirable(feedback, example, place)
            for (example, place), is_sample in zip(places, sampled, strict=True)
        ],
        sampled=sampled,
    )


def _is_desirable(feedback: Feedback, example: int, place: int) -> bool:
    if feedback == "binary":
        return example % 2 == 0
    return feedback != "paired" or place == 0


def ordinary_cases(loss: Loss) -> list[Case]:
    """Returns what a micro-batch can be: mixed, one example, one-sided, policy = reference."""
    mixed = mixed_case(loss)
    cases = [
        mixed,
        mixed.take([1], "one example"),
        replace(mixed, name="a policy that equals its reference", policy=mixed.reference),
    ]
    if loss.resolved_feedback() == "binary":
        cases.append(mixed.take([0, 2], "a batch with desirable examples only"))
        cases.append(mixed.take([1, 3], "a batch with undesirable examples only"))
    return cases


def extreme_cases(loss: Loss) -> list[Case]:
    """Returns batches whose log-ratios, and outputs of heads, are plus and minus `EXTREME`."""
    mixed = mixed_case(loss)
    low = [[-EXTREME / len(tokens)] * len(tokens) for tokens in mixed.policy]
    high = [[0.0] * len(tokens) for tokens in mixed.policy]

    def case(name: str, up: Sequence[bool]) -> Case:
        return replace(
            mixed,
            name=name,
            policy=[(high if is_up else low)[row] for row, is_up in enumerate(up)],
            reference=[(low if is_up else high)[row] for row, is_up in enumerate(up)],
            outputs=[[EXTREME if is_up else -EXTREME] * len(low[i]) for i, is_up in enumerate(up)],
        )

    rows = range(len(mixed.policy))
    cases = [
        case(f"log-ratios of {EXTREME:g}", [True for _ in rows]),
        case(f"log-ratios of {-EXTREME:g}", [False for _ in rows]),
    ]
    if mixed.width > 1:
        what = "(the first of each example) and the opposite (the others)"
        first = [row % mixed.width == 0 for row in rows]
        cases.append(case(f"log-ratios of {EXTREME:g} {what}", first))
        cases.append(case(f"log-ratios of {-EXTREME:g} {what}", [not is_up for is_up in first]))
    return cases
