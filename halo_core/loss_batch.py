"""The input and the output of a loss: a batch of completions, and one value per example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Head:
    """An extra head on the model. The trainer creates, trains, checkpoints and exports it.

    It maps the model's last hidden state to one number. A head ``at="tokens"`` gives one number for
    each completion token, from the state that predicts it [N]. A head ``at="end"`` gives one number
    for each completion, from the state at its last token [B]. If that head is linear, the stage's
    output is a sequence classifier.

    Attributes:
        name: Its name in `LossBatch.heads`.
        at: The position of the states that it reads.
        hidden_layers: Number of layers of the model's width, each followed by a ReLU, before the
            last layer.
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
        reference_logps: Summed log-probabilities under the reference, nats; None if the loss does
            not need them [E].
        lengths: Number of completion tokens [E].
    """

    policy_logps: Tensor
    reference_logps: Tensor | None
    lengths: Tensor


class Facts(NamedTuple):
    """Facts on the completions of a batch in host memory.

    Attributes:
        lengths: Number of tokens of each completion [B].
        desirable: Whether each completion is desirable [B].
        sampled: Whether each is a sample of the reference [B].
    """

    lengths: Sequence[int]
    desirable: Sequence[bool]
    sampled: Sequence[bool]


class OnHost(NamedTuple):
    """A copy in host memory of the contents of some tensors of a batch, so that no GPU is read.

    Attributes:
        facts: The facts.
        sequence_index: The tensor that they are read from; see `LossBatch`.
        desirable: The tensor that they are read from.
        sampled: The tensor that they are read from; None if there is none.
    """

    facts: Facts
    sequence_index: Tensor
    desirable: Tensor
    sampled: Tensor | None

    def facts_of(self, batch: LossBatch) -> Facts | None:
        """Returns the facts on a batch; None if others than its tensors were read."""
        # A plugin may have replaced a tensor of the batch.
        same = (
            batch.sequence_index is self.sequence_index
            and batch.desirable is self.desirable
            and batch.sampled is self.sampled
        )
        return self.facts if same else None


@dataclass(frozen=True)
class LossBatch:
    """A micro-batch as a loss sees it: ragged, without padding, devices, ranks or logits.

    It has only what the loss's `needed` names. In paired feedback, the two completions of an
    example are adjacent, the chosen one first, and `desirable` is true for the chosen one. In
    scored feedback, an example is a group: the completions of a prompt, at least two, are adjacent,
    and `desirable` is true for all. If the loss needs a sample of the reference, it is the last
    completion of its example.

    Attributes:
        policy_token_logps: Log-probability of each completion token under the policy, nats; zeros
            if the loss does not need ``policy_logps`` [N].
        sequence_index: The completion of each token, 0..B-1 [N].
        example_index: The example of each completion, 0..E-1 [B].
        desirable: Whether a completion is desirable [B] bool; all true for demonstrations and
            groups, false for samples of the reference.
        reference_token_logps: Log-probability of each completion token under the reference, nats,
            no gradient [N].
        reference_point: The number that log-ratios are compared with, in nats. It is one number for
            the global batch, no gradient []; or one per completion with a gradient [B], from an
            estimator that observes each pair.
        sampled: Whether a completion is a sample of the reference [B] bool; None if none is.
        scores: The score of each completion, higher is better, float64 [B]; None if the loss does
            not need ``scores``.
        sampler_token_logps: Log-probability of each completion token under the model that sampled
            it, nats [N]; None if the loss does not need ``sampler_logps``.
        example_count: E, in host memory; None if it has to be read from `example_index`.
        heads: Values of each of the loss's heads by its name, [N] or [B].
        statistics: The sums of the loss's `statistics` over the whole global batch, no gradient.
        on_host: The contents of some of these tensors in host memory; None if they are not there.
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
    on_host: OnHost | None = None
    scores: Tensor | None = None
    sampler_token_logps: Tensor | None = None
    example_count: int | None = None

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

    @cached_property
    def longest(self) -> int:
        """Number of tokens of the longest completion."""
        facts = self._facts
        return int(self.lengths.max()) if facts is None else max(facts.lengths)

    @cached_property
    def examples(self) -> int:
        """Number of examples, E."""
        if self.example_count is not None:
            return self.example_count
        return int(self.example_index.max()) + 1 if len(self.example_index) else 0

    def of_examples(self, values: Tensor) -> Tensor:
        """Returns the sum of the completions' values in each example [E].

        Args:
            values: One value per completion [B].
        """
        return values.new_zeros(self.examples).index_add(0, self.example_index, values)

    @cached_property
    def group_sizes(self) -> Tensor:
        """Number of completions of each example, as floats [E]."""
        return self.of_examples(self.policy_token_logps.detach().new_ones(len(self.example_index)))

    @property
    def chosen(self) -> Completions:
        """The chosen completion of each pair."""
        return self._at(self._chosen_at)

    @property
    def rejected(self) -> Completions:
        """The rejected completion of each pair."""
        return self._at(self._rejected_at)

    @property
    def samples(self) -> Completions:
        """The sample of the reference of each example.

        Raises:
            ValueError: When the loss does not need ``reference_samples``.
        """
        if self.sampled is None:
            raise ValueError("samples: the loss does not name reference_samples in `needs`")
        return self._at(self._places(self.sampled, lambda host: host.sampled))

    def of_pairs(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the values of the chosen completions, and those of the rejected ones.

        It makes no GPU wait, as ``values[desirable]`` does.

        Args:
            values: One value per completion [B].

        Returns:
            One value per pair each [P].
        """
        return values.index_select(0, self._chosen_at), values.index_select(0, self._rejected_at)

    def only_desirable(self) -> LossBatch:
        """Returns the batch with only its desirable completions, without waiting for a GPU."""
        return self._only(self.desirable, lambda host: host.desirable)

    def without_samples(self) -> LossBatch:
        """Returns the batch without samples of the reference, without waiting for a GPU."""
        if self.sampled is None:
            return self
        part = self._only(~self.sampled, lambda host: [not one for one in host.sampled])
        host = None if part.on_host is None else part.on_host._replace(sampled=None)
        return replace(part, sampled=None, on_host=host)

    def only(self, wanted: Tensor) -> LossBatch:
        """Returns the batch with only some of its completions. The examples keep their numbers.

        Args:
            wanted: Whether to keep each completion [B] bool.
        """
        return self._only(wanted, None)

    def _only(self, wanted: Tensor, on_host: _Wanted | None) -> LossBatch:
        facts = None if on_host is None else self._facts
        if facts is None or on_host is None:
            left = None
            places, tokens = wanted.nonzero()[:, 0], wanted[self.sequence_index].nonzero()[:, 0]
        else:
            kept = on_host(facts)
            left = Facts(
                list(compress(facts.lengths, kept)),
                list(compress(facts.desirable, kept)),
                list(compress(facts.sampled, kept)),
            )
            places = self._positions(kept)
            tokens = self._positions(
                [one for one, n in zip(kept, facts.lengths, strict=True) for _ in range(n)]
            )

        def selected(values: Tensor) -> Tensor:
            if values.ndim == 0:
                return values
            of_tokens = len(values) == len(self.sequence_index)
            return values.index_select(0, tokens if of_tokens else places)

        def selected_if_there(values: Tensor | None) -> Tensor | None:
            return None if values is None else selected(values)

        index = self.sequence_index.index_select(0, tokens)
        index = (wanted.cumsum(0) - 1).index_select(0, index)
        desirable, sampled = selected(self.desirable), selected_if_there(self.sampled)
        return replace(
            self,
            policy_token_logps=selected(self.policy_token_logps),
            sequence_index=index,
            example_index=selected(self.example_index),
            desirable=desirable,
            reference_token_logps=selected_if_there(self.reference_token_logps),
            reference_point=selected_if_there(self.reference_point),
            sampled=sampled,
            scores=selected_if_there(self.scores),
            sampler_token_logps=selected_if_there(self.sampler_token_logps),
            heads={name: selected(values) for name, values in self.heads.items()},
            on_host=None if left is None else OnHost(left, index, desirable, sampled),
        )

    @property
    def _facts(self) -> Facts | None:
        return None if self.on_host is None else self.on_host.facts_of(self)

    @cached_property
    def _chosen_at(self) -> Tensor:
        return self._places(self.desirable, lambda host: host.desirable)

    @cached_property
    def _rejected_at(self) -> Tensor:
        rejected = ~self.desirable if self.sampled is None else ~self.desirable & ~self.sampled
        return self._places(
            rejected,
            lambda host: [
                not (good or sample)
                for good, sample in zip(host.desirable, host.sampled, strict=True)
            ],
        )

    def _places(self, mask: Tensor, on_host: _Wanted) -> Tensor:
        """Returns the positions at which a mask is true, from host memory if they are there."""
        facts = self._facts
        return mask.nonzero()[:, 0] if facts is None else self._positions(on_host(facts))

    def _positions(self, wanted: Sequence[bool]) -> Tensor:
        """Returns the positions at which values are true, on the device of the batch."""
        at = [i for i, one in enumerate(wanted) if one]
        # A new tensor of a list would make a GPU wait if it were made on it.
        made = self.sequence_index.new_tensor(at, device="cpu")
        return made.to(self.sequence_index.device, non_blocking=True)

    def _at(self, places: Tensor) -> Completions:
        reference = None
        if self.reference_token_logps is not None:
            reference = self.reference_logps.index_select(0, places)
        policy, lengths = self.policy_logps, self.lengths
        return Completions(
            policy.index_select(0, places), reference, lengths.index_select(0, places)
        )


_Wanted = Callable[[Facts], Sequence[bool]]


@dataclass(frozen=True)
class LossOutput:
    """The output of a loss. The trainer minimises sum(losses * weights) / sum(weights).

    Both sums run over the whole global batch.

    Attributes:
        losses: One value per example, with a gradient [E].
        weights: Weight of each example, no gradient [E]; None if each counts once.
        rewards: Implied reward of each completion, detached by the trainer [B]; None if the loss
            has none.
        metrics: Pairs (sum, count), each a number or a tensor [], by names of the form
            ``section/name``. The log shows sum / count.
    """

    losses: Tensor
    weights: Tensor | None = None
    rewards: Tensor | None = None
    metrics: Mapping[str, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)

    @property
    def counts(self) -> Tensor:
        """The weight of each example, 1 by default, no gradient [E]."""
        if self.weights is None:
            return self.losses.detach().new_ones(self.losses.shape)
        return self.weights
