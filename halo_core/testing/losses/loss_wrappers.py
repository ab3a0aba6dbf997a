"""Checks a wrapper around a loss of each sort. It may change results but must forward the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, ValidationError

from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Head, Loss, LossBatch, LossOutput, Need, Settled
from halo_core.loss_wrapper import LossWrapper
from halo_core.testing.component import check_rules, expect, must_not_raise
from halo_core.testing.losses.gradients import check_gradient
from halo_core.testing.losses.loss_cases import batch_of, call, mixed_case, settled_loss
from halo_core.testing.losses.loss_reports import check_other_options
from halo_core.testing.losses.loss_rewards import check_stateless
from halo_core.testing.losses.rules import LOSS_CHECKS, check_loss

if TYPE_CHECKING:
    from torch import Tensor


class Paired(Loss):
    """A loss on pairs with a reference, rewards and a value function."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.5, gt=0, description="Reward per nat.")

    def value(self, gain: float) -> float:
        """Returns the value of a gain: itself."""
        return gain

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        rewards = self.beta * batch.logratios
        ahead = rewards[batch.desirable] - rewards[~batch.desirable]
        return LossOutput((-ahead).sigmoid(), rewards=rewards)


class Pointed(Loss):
    """A loss on binary feedback with a reference point, which weighs examples by length."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "zero"

    factor: float | None = Field(
        default=None, description="Factor of all losses. If None, it is counted from the data."
    )

    def weighs_examples(self) -> bool:
        """Returns True."""
        return True

    def mistakes_within_pairs(self) -> Sequence[str]:
        """Returns a sentence saying that a factor has no effect."""
        return () if self.factor is None else ("factor has no effect; leave it out",)

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy whose factor is the number of desirable completions."""
        factor = float(counts.desirable + 1) if self.factor is None else self.factor
        return Settled(self.model_copy(update={"factor": factor}), f"the factor is {factor}")

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the factor was not settled, or there is no reference point.
        """
        if self.factor is None or batch.reference_point is None:
            raise ValueError(f"factor {self.factor}, reference point {batch.reference_point}")
        gains = batch.logratios - batch.reference_point
        losses = (-gains).where(batch.desirable, gains).sigmoid()
        return LossOutput(self.factor * losses, batch.lengths)


class Summing(Loss):
    """A loss around the mean of the global batch, with heads and control tokens."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "statistics")

    def heads(self) -> Sequence[Head]:
        """Returns one head at the tokens and one at the ends."""
        return (Head("critic", at="tokens"), Head("score", at="end"))

    def control_tokens(self) -> tuple[str, str]:
        """Returns two tokens."""
        return ("<|yes|>", "<|no|>")

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the sum of the log-probabilities and their number."""
        logps = batch.policy_logps.detach()
        return {"sum": logps.sum(), "count": logps.new_tensor(float(len(logps)))}

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion."""
        mean = batch.statistics["sum"] / batch.statistics["count"]
        critic = batch.policy_logps.new_zeros(batch.desirable.shape)
        critic = critic.index_add(0, batch.sequence_index, batch.heads["critic"])
        gains = 0.1 * (batch.policy_logps - mean) + critic + batch.heads["score"]
        losses = (-gains).where(batch.desirable, gains).tanh()
        return LossOutput(losses, metrics={"losses/mine": (losses.sum(), len(losses))})


SORTS: Sequence[Loss] = (Paired(), Pointed(), Pointed(factor=2.0), Summing())
"""One loss of each sort. Together they have all abilities of losses."""


_QUICK = [
    check
    for check in LOSS_CHECKS
    if check not in (check_gradient, check_other_options, check_stateless)
]
"""The rules of losses without the three that take nine tenths of the time."""


class _Identity(LossWrapper):
    """A wrapper that changes nothing."""


def check_loss_wrapper(wrap: Callable[[Loss], LossWrapper]) -> None:
    """Checks a wrapper around each of `SORTS`, and around a wrapper.

    The three rules that take longest are checked around one loss of each class.

    A loss that the wrapper refuses with its own validator is skipped, but at least one must be
    accepted.

    Args:
        wrap: Returns the wrapper around a loss: ``lambda loss: Mine(loss=loss, strength=0.5)``.

    Raises:
        AssertionError: When all losses are refused, a rule of `check_loss` is broken, or an ability
            of the wrapped loss is lost.
    """
    whole: set[type[Loss]] = set()
    for loss in (*SORTS, _Identity(loss=Paired()), _Identity(loss=Pointed())):
        try:
            wrapper = wrap(loss)
        except ValidationError:
            continue
        sort = type(loss.loss if isinstance(loss, _Identity) else loss)
        if sort in whole:
            check_rules(wrapper, _QUICK)
        else:
            check_loss(wrapper)
            whole.add(sort)
        _check_forwarded(wrapper, loss)
        _check_output_kept(wrapper, loss)
    expect(bool(whole), wrap, f"it refuses all of {', '.join(map(repr, SORTS))}")


def _check_forwarded(wrapper: LossWrapper, loss: Loss) -> None:
    counts = ClassCounts(3, 2)
    with must_not_raise(wrapper, "its answers about the wrapped loss"):
        needs = set(loss.needed()) - set(wrapper.needed())
        heads = set(loss.heads()) - set(wrapper.heads())
        answers = {
            "resolved_feedback()": (wrapper.resolved_feedback(), loss.resolved_feedback()),
            "control_tokens()": (wrapper.control_tokens(), loss.control_tokens()),
            "settle()": (wrapper.settle(counts).loss, _around_settled(wrapper, loss, counts)),
        }
    expect(not needs, wrapper, f"needed() leaves out {needs} of the wrapped loss")
    expect(not heads, wrapper, f"heads() leaves out {heads} of the wrapped loss")
    for asked, (mine, theirs) in answers.items():
        expect(mine == theirs, wrapper, f"{asked} gives {mine}; the wrapped loss has {theirs}")


def _check_output_kept(wrapper: LossWrapper, loss: Loss) -> None:
    """Checks that the output has the rewards, the weights and the metrics of the wrapped loss."""
    wrapper, loss = settled_loss(wrapper), settled_loss(loss)  # type: ignore[assignment]
    case = mixed_case(wrapper)
    mine, theirs = (call(each, batch_of(each, case), case) for each in (wrapper, loss))
    lost = [
        name
        for name in ("rewards", "weights")
        if getattr(theirs, name) is not None and getattr(mine, name) is None
    ]
    lost += [f"the metric {name!r}" for name in theirs.metrics if name not in mine.metrics]
    expect(
        not lost,
        wrapper,
        f"its output leaves out {', '.join(lost)} of the wrapped loss; use dataclasses.replace",
    )


def _around_settled(wrapper: LossWrapper, loss: Loss, counts: ClassCounts) -> LossWrapper:
    """Returns a wrapper with the same options around the settled loss."""
    return wrapper.model_copy(update={"loss": loss.settle(counts).loss})
