"""The interface of a loss, and what it is given and gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from halo_core.component import Component
from halo_core.feedback import Feedback

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal["policy_logps", "reference_logps", "reference_point"]


@dataclass(frozen=True)
class Completions:
    """Some completions of a batch, one per example, in the order of the examples.

    Attributes:
        policy_logps: Summed log-probabilities under the policy, nats [E].
        reference_logps: The same under the reference, or None when the loss needs none [E].
        lengths: Completion tokens [E].
    """

    policy_logps: Tensor
    reference_logps: Tensor | None
    lengths: Tensor


@dataclass(frozen=True)
class LossBatch:
    """What a loss sees of a micro-batch: ragged, without padding, devices, ranks or logits.

    Only what the loss's `needs` name is there. In paired feedback the completions of an example
    are neighbours, the chosen one first, and `desirable` is true for the chosen one.

    Attributes:
        policy_token_logps: Log-probability of each completion token under the policy, nats [N].
        sequence_index: The completion, 0..B-1, that a token belongs to [N].
        example_index: The example, 0..E-1, that a completion belongs to [B].
        desirable: Whether a completion is desirable [B] bool; all true for demonstrations.
        reference_token_logps: As `policy_token_logps` under the reference, no gradient [N].
        reference_point: What rewards are compared with, in nats of log-ratio, no gradient [].
    """

    policy_token_logps: Tensor
    sequence_index: Tensor
    example_index: Tensor
    desirable: Tensor
    reference_token_logps: Tensor | None = None
    reference_point: Tensor | None = None

    def _summed(self, token_values: Tensor) -> Tensor:
        zeros = token_values.new_zeros(self.example_index.shape[0])
        return zeros.index_add(0, self.sequence_index, token_values)

    @cached_property
    def policy_logps(self) -> Tensor:
        """Summed log-probability of each completion under the policy, nats [B]."""
        return self._summed(self.policy_token_logps)

    @cached_property
    def reference_logps(self) -> Tensor:
        """Summed log-probability of each completion under the reference, nats [B].

        Raises:
            ValueError: When the loss did not name ``reference_logps`` in `needs`.
        """
        if self.reference_token_logps is None:
            raise ValueError("reference_logps: the loss does not name it in `needs`")
        return self._summed(self.reference_token_logps)

    @cached_property
    def logratios(self) -> Tensor:
        """Policy minus reference log-probability of each completion, nats [B]."""
        return self.policy_logps - self.reference_logps

    @cached_property
    def lengths(self) -> Tensor:
        """Number of tokens of each completion, as floats [B]."""
        return self._summed(self.policy_token_logps.detach().new_ones(self.sequence_index.shape))

    @property
    def chosen(self) -> Completions:
        """The chosen completion of each pair."""
        return self._where(self.desirable)

    @property
    def rejected(self) -> Completions:
        """The rejected completion of each pair."""
        return self._where(~self.desirable)

    def _where(self, mask: Tensor) -> Completions:
        reference = None if self.reference_token_logps is None else self.reference_logps[mask]
        return Completions(self.policy_logps[mask], reference, self.lengths[mask])


@dataclass(frozen=True)
class LossOutput:
    """What a loss gives back; the trainer minimises sum(losses * weights) / sum(weights).

    Both sums run over the whole global batch.

    Attributes:
        losses: One value per example [E].
        weights: How much each example counts, no gradient [E].
        rewards: Implied reward of each completion, detached [B]; None where there is none.
        metrics: Name to (sum, count), each a detached tensor []; logged as sum / count.
    """

    losses: Tensor
    weights: Tensor
    rewards: Tensor | None = None
    metrics: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Loss(Component):
    """A human-aware loss: what an example of feedback costs the policy.

    Class variables:
        feedback: The kind of feedback it learns from.
        needs: What must be computed for it; nothing else is.
        default_reference_point: Name of the reference point used when the spec names none;
            needed when `needs` names ``reference_point``.
    """

    kind: ClassVar[str] = "loss"
    required: ClassVar[tuple[str, ...]] = ("feedback", "needs")

    feedback: ClassVar[Feedback]
    needs: ClassVar[tuple[Need, ...]]
    default_reference_point: ClassVar[str | None] = None

    @abstractmethod
    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per example of the batch."""


@runtime_checkable
class ValueFunction(Protocol):
    """An optional ability of a loss: it says which value function it imputes to humans.

    `halo inspect` draws it and checks it. It is for people and reports; nothing is trained with it.
    """

    def value(self, gain: float) -> float:
        """Returns the value that the loss imputes to a completion that lies above or below.

        Args:
            gain: How far the completion's reward lies above the reference point; negative for a
                loss. In reward units: reward = beta * logratio, so nats times beta.
        """
        ...
