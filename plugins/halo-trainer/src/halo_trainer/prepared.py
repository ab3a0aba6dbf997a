"""A global batch, ready for its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor

from halo_core.reference_point import Estimate
from halo_trainer.encoded import EncodedExample
from halo_trainer.scorer import Scores

Settle = Callable[[Sequence[float]], Estimate]
"""From the log-ratio of each completion of a global batch, in order, to its reference point."""


class Computed(NamedTuple):
    """What is known of a micro-batch before its turn.

    Attributes:
        scores: Of the policy; None where they have to be computed again, with a gradient.
        reference_logps: Of each completion token under the reference, nats [N].
    """

    scores: Scores | None
    reference_logps: Tensor


@dataclass(frozen=True)
class Prepared:
    """A global batch, ready to be computed.

    Attributes:
        examples: Of the whole batch, in global order.
        places: The micro-batches of this process, as positions of examples in the batch; an empty
            one has to be computed as well, so that all processes make the same calls.
        tokens: What a model computes once for the whole batch.
        estimate: The reference point; None where the loss needs none for the whole batch.
        settle: Completes the estimate after the gradient pass, from the log-ratios that the pass
            gave; None where it is complete.
        statistics: The loss's sums over the whole batch; empty where it needs none.
        computed: What is known of micro-batches already, by their number.
    """

    examples: Sequence[EncodedExample]
    places: Sequence[Sequence[int]]
    tokens: int
    estimate: Estimate | None = None
    settle: Settle | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    computed: Mapping[int, Computed] = field(default_factory=dict)

    def examples_of(self, call: int) -> list[EncodedExample]:
        """Returns the examples of a micro-batch of this process by its number."""
        return [self.examples[i] for i in self.places[call]]

    def completions(self) -> list[list[int]]:
        """Returns the positions of each micro-batch's completions among those of the batch."""
        counts = [len(example.completions) for example in self.examples]
        starts = [0, *accumulate(counts)]
        return [[k for i in part for k in range(starts[i], starts[i + 1])] for part in self.places]
