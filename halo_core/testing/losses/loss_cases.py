"""The batches on which losses are checked, and the cases from which they are made."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import settled, with_changed_logratios
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput
from halo_core.testing.batches import Tokens, loss_batch
from halo_core.testing.component import must_not_raise

if TYPE_CHECKING:
    from torch import Tensor


POINT = 0.3
"""Reference point of a batch that has one, in nats."""
TOKENS = "policy_token_logps"
HEAD = "heads."
_POINT = "reference_point"


def settled_loss(loss: Loss) -> Loss:
    """Returns the loss as the trainer uses it, after settling options that depend on data."""
    with must_not_raise(loss, "settle()"):
        return settled(loss, ClassCounts(desirable=2, undesirable=2)).loss


def batch_of(
    loss: Loss,
    case: Case,
    *,
    whole: Case | None = None,
    own_points: bool = False,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch, with only what the loss needs.

    Args:
        loss: A settled loss.
        case: The examples.
        whole: The global batch for statistics. Default: the case itself.
        own_points: Whether each completion has its own reference point.
        dtype: Dtype of the log-probabilities.
    """
    batch = batch_alone(loss, case, own_points=own_points, dtype=dtype)
    if "statistics" not in loss.needed():
        return batch
    all_of_it = batch if whole is None else batch_alone(loss, whole, dtype=dtype)
    return replace(batch, statistics=_statistics(loss, all_of_it))


def batch_alone(
    loss: Loss,
    case: Case,
    *,
    own_points: bool = False,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch before the statistics of the global batch are known."""
    needed = loss.needed()
    point = case.points if own_points else POINT
    return loss_batch(
        case.policy if "policy_logps" in needed else [[0.0] * len(t) for t in case.policy],
        reference=case.reference if "reference_logps" in needed else None,
        desirable=case.desirable,
        examples=case.examples,
        reference_point=point if "reference_point" in needed else None,
        sampled=case.sampled if "reference_samples" in needed else None,
        scores=case.scores if "scores" in needed else None,
        sampler=case.sampler if "sampler_logps" in needed else None,
        heads=_heads(loss, case),
        dtype=dtype,
    )


def call(loss: Loss, batch: LossBatch, case: Case) -> LossOutput:
    """Returns the output of the loss for a batch with its changed log-ratios, as in training.

    If the call raises, the error names the case.
    """
    with must_not_raise(loss, f"a call on {case.name}"):
        return loss(with_changed_logratios(loss, batch))


def _statistics(loss: Loss, batch: LossBatch) -> Mapping[str, Tensor]:
    with must_not_raise(loss, "statistics()"):
        return loss.statistics(with_changed_logratios(loss, batch))


def _heads(loss: Loss, case: Case) -> dict[str, list[float]]:
    outputs = {}
    for i, head in enumerate(loss.heads(), start=1):
        if head.at == "end":
            outputs[head.name] = [i * tokens[-1] for tokens in case.outputs]
        else:
            outputs[head.name] = [i * value for tokens in case.outputs for value in tokens]
    return outputs


def inputs_of(loss: Loss, batch: LossBatch) -> dict[str, Tensor]:
    """Returns the tensors for which the losses must have a gradient, and requests it, by name."""
    inputs = {TOKENS: batch.policy_token_logps} if "policy_logps" in loss.needed() else {}
    inputs |= {HEAD + name: values for name, values in batch.heads.items()}
    if batch.reference_point is not None and batch.reference_point.ndim == 1:
        inputs[_POINT] = batch.reference_point
    return {name: tensor.requires_grad_() for name, tensor in inputs.items()}


def with_inputs(batch: LossBatch, inputs: Mapping[str, Tensor]) -> LossBatch:
    """Returns the batch with its tensors replaced by those with the same name in `inputs_of`."""
    heads = {name: inputs[HEAD + name] for name in batch.heads}
    tokens = inputs.get(TOKENS, batch.policy_token_logps)
    point = inputs.get(_POINT, batch.reference_point)
    return replace(batch, policy_token_logps=tokens, heads=heads, reference_point=point)


EXTREME = 1e4
"""Largest log-ratio in nats that a loss must survive, and largest output of a head."""

OUTLIER = 40.0
"""Difference in nats of tokens that are far less likely than the others."""

COMPLETIONS: dict[Feedback, Sequence[int]] = {
    "text": (1, 1, 1, 1),
    "demonstration": (1, 1, 1, 1),
    "binary": (1, 1, 1, 1),
    "paired": (2, 2, 2, 2),
    "scored": (3, 2, 4, 3),
}
"""Number of completions of each of four examples."""


@dataclass(frozen=True)
class Case:
    """Examples in plain lists, with a name that says what is special about them.

    Attributes:
        name: A name that says what is special about the examples, for messages.
        sizes: Number of completions of each example, including a sample of the reference.
        policy: Token log-probabilities of each completion under the policy.
        reference: Token log-probabilities of each completion under the reference.
        outputs: The output of a head at each token of each completion.
        points: The reference point of each completion.
        desirable: Whether each completion is desirable.
        sampled: Whether each completion is a sample of the reference.
        scores: The score of each completion.
        sampler: Token log-probabilities of each completion under the model that sampled it.
    """

    name: str
    sizes: Sequence[int]
    policy: Tokens
    reference: Tokens
    outputs: Tokens
    points: Sequence[float]
    desirable: Sequence[bool]
    sampled: Sequence[bool]
    scores: Sequence[float]
    sampler: Tokens

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.sizes)

    @property
    def examples(self) -> list[int]:
        """The example of each completion."""
        return [example for example, size in enumerate(self.sizes) for _ in range(size)]

    def rows(self, examples: Sequence[int]) -> list[int]:
        """Returns the positions of the completions of these examples, in this order."""
        starts = [0, *accumulate(self.sizes)]
        return [row for i in examples for row in range(starts[i], starts[i + 1])]

    def take(self, examples: Sequence[int], name: str) -> Case:
        """Returns the examples at these positions, in this order."""
        sizes = [self.sizes[i] for i in examples]
        return self.moved(self.rows(examples), sizes, name)

    def turned(self, name: str) -> Case:
        """Returns the examples with the completions of each in the opposite order."""
        rows = [row for i in range(self.size) for row in reversed(self.rows([i]))]
        return self.moved(rows, self.sizes, name)

    def moved(self, rows: Sequence[int], sizes: Sequence[int], name: str) -> Case:
        """Returns the completions at these positions as examples of these sizes."""
        return replace(
            self,
            name=name,
            sizes=sizes,
            policy=[self.policy[row] for row in rows],
            reference=[self.reference[row] for row in rows],
            outputs=[self.outputs[row] for row in rows],
            points=[self.points[row] for row in rows],
            desirable=[self.desirable[row] for row in rows],
            sampled=[self.sampled[row] for row in rows],
            scores=[self.scores[row] for row in rows],
            sampler=[self.sampler[row] for row in rows],
        )


def mixed_case(loss: Loss) -> Case:
    """Returns four examples of different lengths, with both classes if there are two."""
    rng = random.Random(0)
    samples = "reference_samples" in loss.needed()
    feedback = loss.resolved_feedback()
    sizes = [size + samples for size in COMPLETIONS[feedback]]
    lengths = [rng.randint(1, 4) for _ in range(sum(sizes))]

    def tokens(low: float, high: float) -> list[list[float]]:
        return [[rng.uniform(low, high) for _ in range(length)] for length in lengths]

    policy, reference, outputs = tokens(-3.0, -0.05), tokens(-3.0, -0.05), tokens(-1.5, 1.5)
    places = [(example, place) for example, size in enumerate(sizes) for place in range(size)]
    sampled = [samples and place == sizes[example] - 1 for example, place in places]
    return Case(
        name="a mixed batch",
        sizes=sizes,
        policy=policy,
        reference=reference,
        outputs=outputs,
        points=[rng.uniform(-1.0, 1.0) for _ in lengths],
        scores=[rng.uniform(-1.0, 1.0) for _ in lengths],
        sampler=[[logp + rng.uniform(-1.0, 1.0) for logp in tokens] for tokens in policy],
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
    """Returns the kinds of micro-batch: mixed, one example, one-sided, policy = reference."""
    mixed = mixed_case(loss)
    cases = [
        mixed,
        mixed.take([1], "one example"),
        replace(mixed, name="a policy that equals its reference", policy=mixed.reference),
    ]
    if loss.resolved_feedback() == "scored":
        cases.append(replace(mixed, name="equal scores", scores=[0.7] * len(mixed.scores)))
    if loss.resolved_feedback() == "binary":
        cases.append(mixed.take([0, 2], "a batch with desirable examples only"))
        cases.append(mixed.take([1, 3], "a batch with undesirable examples only"))
    return cases


def outlier_case(loss: Loss) -> Case:
    """Returns the mixed batch, in which each second example has log-ratios far from the others."""
    mixed = mixed_case(loss)
    policy = [*mixed.policy]
    for row, example in enumerate(mixed.examples):
        if example % 2:
            policy[row] = [token - OUTLIER * (1 + row % 3) for token in mixed.policy[row]]
    return replace(mixed, name="a batch with outliers", policy=policy)


def extreme_cases(loss: Loss) -> list[Case]:
    """Returns batches whose log-ratios and head outputs are plus and minus `EXTREME`."""
    mixed = mixed_case(loss)
    low = [[-EXTREME / len(tokens)] * len(tokens) for tokens in mixed.policy]
    high = [[0.0] * len(tokens) for tokens in mixed.policy]
    rows = range(len(mixed.policy))

    def case(name: str, up: Sequence[bool]) -> Case:
        return replace(
            mixed,
            name=name,
            policy=[(high if is_up else low)[row] for row, is_up in enumerate(up)],
            reference=[(low if is_up else high)[row] for row, is_up in enumerate(up)],
            sampler=[(low if is_up else high)[row] for row, is_up in enumerate(up)],
            scores=[EXTREME if row % 2 else -EXTREME for row in rows],
            outputs=[[EXTREME if is_up else -EXTREME] * len(low[i]) for i, is_up in enumerate(up)],
        )

    cases = [
        case(f"log-ratios of {EXTREME:g}", [True for _ in rows]),
        case(f"log-ratios of {-EXTREME:g}", [False for _ in rows]),
    ]
    if max(mixed.sizes) > 1:
        what = "(the first of each example) and the opposite (the others)"
        firsts = {mixed.rows([example])[0] for example in range(mixed.size)}
        first = [row in firsts for row in rows]
        cases.append(case(f"log-ratios of {EXTREME:g} {what}", first))
        cases.append(case(f"log-ratios of {-EXTREME:g} {what}", [not is_up for is_up in first]))
    return cases
