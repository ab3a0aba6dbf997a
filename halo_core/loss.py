"""The interface of a loss, and what it is given and gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from halo_core.component import Component
from halo_core.errors import PluginError
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
            batch, no gradient []; or, from an estimator that observes each pair, one per
            completion, with a gradient [B].
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

    def only(self, wanted: Tensor) -> LossBatch:
        """Returns the batch with some of its completions only; the examples keep their numbers.

        Args:
            wanted: Which ones [B] bool.
        """
        tokens = wanted[self.sequence_index]

        def kept(values: Tensor) -> Tensor:
            if values.ndim == 0:
                return values
            return values[tokens if len(values) == len(tokens) else wanted]

        def kept_if_there(values: Tensor | None) -> Tensor | None:
            return None if values is None else kept(values)

        return replace(
            self,
            policy_token_logps=self.policy_token_logps[tokens],
            sequence_index=(wanted.cumsum(0) - 1)[self.sequence_index[tokens]],
            example_index=self.example_index[wanted],
            desirable=self.desirable[wanted],
            reference_token_logps=kept_if_there(self.reference_token_logps),
            reference_point=kept_if_there(self.reference_point),
            sampled=kept_if_there(self.sampled),
            heads={name: kept(values) for name, values in self.heads.items()},
        )

    def _where(self, mask: Tensor) -> Completions:
        reference = None if self.reference_token_logps is None else self.reference_logps[mask]
        return Completions(self.policy_logps[mask], reference, self.lengths[mask])


@dataclass(frozen=True)
class LossOutput:
    """What a loss gives back; the trainer minimises sum(losses * weights) / sum(weights).

    Both sums run over the whole global batch.

    Attributes:
        losses: One value per example, with a gradient [E].
        weights: How much each example counts, no gradient [E]; None where each counts once.
        rewards: Implied reward of each completion, detached by the trainer [B]; None where there
            is none.
        metrics: Name to (sum, count), each a number or a tensor []; logged as sum / count.
    """

    losses: Tensor
    weights: Tensor | None = None
    rewards: Tensor | None = None
    metrics: Mapping[str, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)

    @property
    def counts(self) -> Tensor:
        """How much each example counts: its weight, or 1, no gradient [E]."""
        if self.weights is None:
            return self.losses.detach().new_ones(self.losses.shape)
        return self.weights


class ClassCounts(NamedTuple):
    """How much feedback of each class there is to learn from.

    Attributes:
        desirable: Desirable completions in the data.
        undesirable: Undesirable ones.
    """

    desirable: int
    undesirable: int


class Settled(NamedTuple):
    """What a loss makes of the numbers of desirable and undesirable completions.

    Attributes:
        loss: The loss with every option that was left open settled; itself where none was.
        remark: A sentence that shows what the counts mean for the options. The run shows it where
            an option was left open, or there is a caution.
        caution: What the user should be warned of before anything is trained; None where all is
            well.
    """

    loss: Loss
    remark: str = ""
    caution: str | None = None


class Loss(Component):
    """A human-aware loss: what an example of feedback costs the policy.

    Class variables:
        feedback: The kind of feedback it learns from.
        needs: What may have to be computed for it; nothing else is.
        default_reference_point: Name of the reference point used when the spec names none;
            needed when `needs` names ``reference_point``.

    Only `__call__` must be written. Every other method says something that most losses do not
    want, and its default says that this one does not want it.

    Raises:
        PluginError: At class definition, when it has the methods of an earlier version, or needs
            what it does not say.
    """

    kind: ClassVar[str] = "loss"
    required: ClassVar[tuple[str, ...]] = ("feedback", "needs")

    feedback: ClassVar[Feedback]
    needs: ClassVar[tuple[Need, ...]]
    default_reference_point: ClassVar[str | None] = None

    @abstractmethod
    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per example of the batch."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if wrong := _wrong_class(cls):
            raise PluginError(wrong, location=f"{cls.__module__}.{cls.__qualname__}")

    def resolved_feedback(self) -> Feedback:
        """Returns the kind of feedback it learns from with these options."""
        return self.feedback

    def needed(self) -> tuple[Need, ...]:
        """Returns what has to be computed with these options, a part of `needs`."""
        return self.needs

    def resolved_reference_point(self) -> str | None:
        """Returns the name of its own reference point with these options; None without one."""
        return self.default_reference_point

    def weighs_examples(self) -> bool:
        """Returns whether its outputs have weights; only a sum of losses has to know before."""
        return False

    def mistakes_within_pairs(self) -> Sequence[str]:
        """Returns what is wrong with its options where it sees the chosen completions alone.

        A reference point that observes pairs gives a loss on binary feedback no undesirable
        completion: the rejected ones are in the points. An option that then has no effect is told
        here, in a sentence that names it and says what to do.
        """
        return ()

    def heads(self) -> Sequence[Head]:
        """Returns the heads it wants beside the model's own."""
        return ()

    def control_tokens(self) -> tuple[str, str] | None:
        """Returns the tokens that tell the model what a completion is: desirable, undesirable.

        They end the prompts, and the trainer adds them to the vocabulary. The first one goes with
        the model: it ends the prompts of all later training and sampling of that model. None
        leaves the prompts as they are.
        """
        return None

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns the loss with the options settled that depend on how much data there is.

        Args:
            counts: Completions per class in the data that it learns from; a pair has one of each.
        """
        return Settled(self)

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns sums over a micro-batch, no gradient, each []; the trainer adds them all up.

        They are computed before any gradient, for a loss that needs ``statistics``: its examples
        then may depend on the whole global batch.
        """
        return {}

    def value(self, gain: float) -> float | None:
        """Returns the value that people give to a reward `gain` above the reference point.

        Rewards are beta times log-ratios, so the gain has no unit. None, for every gain, imputes
        nothing to people.
        """
        return None

    def change_logratios(self, token_logratios: Tensor) -> Tensor:
        """Returns the log-ratios that the loss and its reference point see, token by token [N].

        A gradient flows through the change. The same tensor changes nothing.

        Args:
            token_logratios: Policy minus reference log-probability of some completion tokens,
                nats; of which ones must not matter [N].
        """
        return token_logratios


def _wrong_class(cls: type[Loss]) -> str | None:
    """What is wrong with a class of losses beyond the rules for all components."""
    if "counted" in vars(cls):
        return (
            "nothing calls counted(), remark() and caution() of a loss any more: settle(counts) "
            "returns all three, as Settled(loss, remark, caution)"
        )
    needs = getattr(cls, "needs", ())
    if isinstance(needs, str) or not isinstance(needs, Collection):
        example = needs if isinstance(needs, str) else "policy_logps"
        return f"needs is {needs!r}; expected a tuple, as in ({example!r},)"
    if "statistics" in needs and cls.statistics is Loss.statistics:
        return "needs names 'statistics': write statistics(batch), which gives the sums"
    changes = cls.change_logratios is not Loss.change_logratios
    if needs and changes and "reference_logps" not in needs:
        return "change_logratios() has none to change: needs does not name 'reference_logps'"
    return None
