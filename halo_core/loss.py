"""The interface of a loss. Its input and its output are in `loss_batch`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from halo_core.component import Component
from halo_core.errors import PluginError, nearest
from halo_core.feedback import COLUMNS, Feedback
from halo_core.loss_batch import (
    Completions as Completions,
    Facts as Facts,
    Head as Head,
    LossBatch as LossBatch,
    LossOutput as LossOutput,
    OnHost as OnHost,
)

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal[
    "policy_logps",
    "reference_logps",
    "reference_point",
    "reference_samples",
    "statistics",
    "scores",
    "sampler_logps",
]


class ClassCounts(NamedTuple):
    """The amount of training feedback in each class.

    Attributes:
        desirable: Number of desirable completions in the data.
        undesirable: Number of undesirable completions in the data.
    """

    desirable: int
    undesirable: int


class Settled(NamedTuple):
    """A loss settled for the numbers of desirable and undesirable completions.

    Attributes:
        loss: The loss with every open option settled; the loss itself if no option was open.
        remark: A sentence that shows what the counts mean for the options. The run shows it if an
            option was open or there is a caution.
        caution: A warning for the user before anything is trained; None if there is none.
    """

    loss: Loss
    remark: str = ""
    caution: str | None = None


class Loss(Component):
    """A human-aware loss, which maps an example of feedback to the policy's loss.

    Class variables:
        feedback: The kind of feedback it learns from.
        needs: Inputs that may have to be computed for it. Nothing else is computed.
        default_reference_point: Name of the reference point that is used if the spec names none.
            It is required if `needs` names ``reference_point``.

    Only `__call__` must be written. The other methods are for abilities that most losses lack, and
    their defaults mean that the loss does not have the ability.

    Raises:
        PluginError: At class definition, when it has methods of an earlier version, or lacks a
            declaration that it needs.
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
        """Returns the inputs that must be computed with these options, a part of `needs`."""
        return self.needs

    def resolved_reference_point(self) -> str | None:
        """Returns the name of its own reference point with these options; None if it has none."""
        return self.default_reference_point

    def weighs_examples(self) -> bool:
        """Returns whether its outputs have weights. Only a sum of losses needs to know."""
        return False

    def mistakes_within_pairs(self) -> Sequence[str]:
        """Returns what is wrong with its options if it sees only the chosen completions.

        With a reference point that observes pairs, a loss on binary feedback sees no undesirable
        completion, because the rejected ones are in the points. If an option then has no effect,
        return a sentence that names the option and says what to do.
        """
        return ()

    def heads(self) -> Sequence[Head]:
        """Returns the extra heads that it needs on the model."""
        return ()

    def control_tokens(self) -> tuple[str, str] | None:
        """Returns the two tokens that announce a desirable and an undesirable completion.

        They are added to the ends of prompts, and the trainer adds them to the vocabulary. The
        first one stays with the model: it ends the prompts in all later training and sampling of
        that model. None leaves the prompts unchanged.
        """
        return None

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns the loss after settling the options that depend on the amount of data.

        Args:
            counts: Number of completions in each class of the training data. A pair has one of
                each.
        """
        return Settled(self)

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns sums over a micro-batch, no gradient, each []. The trainer adds them all up.

        They are computed before any gradient, for a loss that needs ``statistics``. So the loss of
        an example may depend on the whole global batch.
        """
        return {}

    def value(self, gain: float) -> float | None:
        """Returns the value that people give to a reward `gain` above the reference point.

        Rewards are beta times log-ratios, so the gain has no unit. A loss that assumes no value
        function of people returns None for every gain.
        """
        return None

    def change_logratios(self, token_logratios: Tensor) -> Tensor:
        """Returns the tokens' log-ratios that the loss and its reference point see [N].

        A gradient flows through the change. To change nothing, return the same tensor.

        Args:
            token_logratios: Policy minus reference log-probability of some completion tokens, nats
                [N]. The result for a token must not depend on the other tokens.
        """
        return token_logratios


def _wrong_class(cls: type[Loss]) -> str | None:
    """Returns what is wrong with a class of losses, besides the rules for all components."""
    if "counted" in vars(cls):
        return (
            "counted(), remark() and caution() of a loss are no longer called: settle(counts) "
            "returns all three, as Settled(loss, remark, caution)"
        )
    feedback = getattr(cls, "feedback", None)
    if isinstance(feedback, str) and feedback not in COLUMNS:
        near = nearest(feedback, COLUMNS)
        return (
            f"there is no feedback {feedback!r}.{f' Did you mean {near[0]!r}?' if near else ''} "
            f"Expected one of {', '.join(COLUMNS)}"
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
