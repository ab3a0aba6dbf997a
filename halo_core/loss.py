"""The interface of a loss, and what it is given and gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from halo_core.component import Component
from halo_core.feedback import Feedback

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal[
    "policy_logps", "reference_logps", "reference_point", "reference_samples", "statistics"
]


@dataclass(frozen=True)
class Head:
    """A head beside the model's own, which the trainer makes, trains, checkpoints and exports.

    It maps the model's last hidden state to one number. A head ``at="tokens"`` gives one for each
    completion token, from the state that predicts it [N]. A head ``at="end"`` gives one for each
    completion, from the state at its last token [B]; a linear one makes the stage's output a
    sequence classifier.

    Attributes:
        name: Names it in `LossBatch.heads`.
        at: Where it looks.
        hidden_layers: Layers of the model's width, with a ReLU behind each, before the last one.
        detached: Whether its gradient stops before the model.
    """

    name: str
    at: Literal["tokens", "end"]
    hidden_layers: int = 0
    detached: bool = False


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

    Only what the loss's `needed` names is there. In paired feedback the completions of an example
    are neighbours, the chosen one first, and `desirable` is true for the chosen one. A sample of
    the reference, where the loss needs one, is the last completion of its example.

    Attributes:
        policy_token_logps: Log-probability of each completion token under the policy, nats; zeros
            where the loss does not need ``policy_logps`` [N].
        sequence_index: The completion, 0..B-1, that a token belongs to [N].
        example_index: The example, 0..E-1, that a completion belongs to [B].
        desirable: Whether a completion is desirable [B] bool; all true for demonstrations, false
            for samples of the reference.
        reference_token_logps: As `policy_token_logps` under the reference, no gradient [N].
        reference_point: What rewards are compared with, in nats of log-ratio: one for the global
            batch, no gradient []; or, from an estimator that is `WithinPair`, one per completion,
            with a gradient [B].
        sampled: Whether a completion is a sample of the reference [B] bool; None where none is.
        heads: Name of each of the loss's heads to what it gives, [N] or [B].
        statistics: The sums of the loss's `statistics` over the whole global batch, no gradient.
    """

    policy_token_logps: Tensor
    sequence_index: Tensor
    example_index: Tensor
    desirable: Tensor
    reference_token_logps: Tensor | None = None
    reference_point: Tensor | None = None
    sampled: Tensor | None = None
    heads: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

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
        rejected = ~self.desirable
        return self._where(rejected if self.sampled is None else rejected & ~self.sampled)

    @property
    def samples(self) -> Completions:
        """The sample of the reference of each example.

        Raises:
            ValueError: When the loss does not need ``reference_samples``.
        """
        if self.sampled is None:
            raise ValueError("samples: the loss does not name reference_samples in `needs`")
        return self._where(self.sampled)

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
        needs: What may have to be computed for it; nothing else is.
        default_reference_point: Name of the reference point used when the spec names none;
            needed when `needs` names ``reference_point``.

    Some losses have abilities beside: see `Counted`, `Controlled`, `Statistical`, `ValueFunction`.
    """

    kind: ClassVar[str] = "loss"
    required: ClassVar[tuple[str, ...]] = ("feedback", "needs")

    feedback: ClassVar[Feedback]
    needs: ClassVar[tuple[Need, ...]]
    default_reference_point: ClassVar[str | None] = None

    def needed(self) -> tuple[Need, ...]:
        """Returns what has to be computed with these options, a part of `needs`."""
        return self.needs

    def heads(self) -> Sequence[Head]:
        """Returns the heads it wants beside the model's own."""
        return ()

    @abstractmethod
    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per example of the batch."""


class ClassCounts(NamedTuple):
    """How much feedback of each class there is to learn from.

    Attributes:
        desirable: Desirable completions in the data.
        undesirable: Undesirable ones.
    """

    desirable: int
    undesirable: int


@runtime_checkable
class Counted(Protocol):
    """A loss whose options depend on how many completions are desirable."""

    def counted(self, counts: ClassCounts) -> Loss:
        """Returns a copy that knows the counts, with every option that was left open settled."""
        ...

    def remark(self, counts: ClassCounts) -> str:
        """Returns a sentence that shows what the counts mean for the options."""
        ...

    def caution(self, counts: ClassCounts) -> str | None:
        """Returns what the user should be warned of; None where all is well."""
        ...


@runtime_checkable
class Controlled(Protocol):
    """A loss that tells the model what a completion is by a token at the end of its prompt."""

    def control_tokens(self) -> tuple[str, str]:
        """Returns the tokens of desirable and of undesirable completions.

        The trainer adds them to the vocabulary. The first one goes with the model: it ends the
        prompts of all later training and sampling of that model.
        """
        ...


@runtime_checkable
class Statistical(Protocol):
    """A loss whose examples depend on the whole global batch, through sums over its examples."""

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns sums over a micro-batch, no gradient, each []; the trainer adds them all up.

        They are computed before any gradient, for a loss that needs ``statistics``.
        """
        ...


@runtime_checkable
class ValueFunction(Protocol):
    """A loss that declares what it imputes to people."""

    def value(self, gain: float) -> float:
        """Returns the value of a completion whose reward is `gain` above the reference point.

        Rewards are beta times log-ratios, so the gain has no unit.
        """
        ...
